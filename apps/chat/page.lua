--- The page of the chat.

return [[<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  ol { list-style: none; padding: 0; min-height: 12rem }
  input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem }
  #state { color: gray }
</style>
<h1>Chat</h1>
<p id="state">connecting</p>
<ol id="said"></ol>
<form><input id="text" autocomplete="off" maxlength="500" placeholder="Say something"></form>
<script>
const name = new URLSearchParams(location.search).get('name') || 'guest ' + Math.floor(Math.random() * 1000);
const state = document.getElementById('state'), said = document.getElementById('said');
let socket;
function connect() {
  socket = new WebSocket(location.origin.replace('http', 'ws') + '/chat/socket?name=' + encodeURIComponent(name));
  socket.onopen = () => { state.textContent = 'connected as ' + name; };
  socket.onmessage = (event) => {
    const line = document.createElement('li');
    line.textContent = event.data;
    said.append(line);
  };
  socket.onclose = (event) => {
    state.textContent = 'closed with ' + event.code + ', coming back';
    setTimeout(connect, event.code === 1012 ? 100 + Math.random() * 400 : 3000);
  };
}
document.querySelector('form').onsubmit = (event) => {
  event.preventDefault();
  const text = document.getElementById('text');
  if (text.value) socket.send(text.value);
  text.value = '';
};
connect();
</script>
</html>
]]
