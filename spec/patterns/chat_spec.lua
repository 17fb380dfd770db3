--- apps/chat: people in several workers, a browser, somebody who watches.

local browser = require("spec.support.browser")
local examples = require("spec.support.examples")
local process = require("spec.support.process")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

--- A page that loads the chat's in a frame's place: talks by itself and shows what came, both kinds of streams.
local ROBOT = [[
local moonloop = require("moonloop")
local app = moonloop.app()
local PAGE = [=[<!doctype html><meta charset="utf-8"><ol id="said"></ol><script>
fetch('/robot/whole'); // while it is not answered, the browser's time stands still
const add = (text) => { const li = document.createElement('li'); li.textContent = text; said.append(li);
  if (said.children.length === 6) fetch('/robot/enough'); };
const events = new EventSource('/robot/events');
events.addEventListener('note', (event) => { add('event ' + event.lastEventId + ': ' + event.data);
  events.close(); });
const socket = new WebSocket('ws://' + location.host + '/robot/socket', ['chat.v2', 'chat.v1']);
socket.binaryType = 'arraybuffer';
socket.onopen = () => { add('open ' + socket.protocol + ' ' + socket.extensions); socket.send('κόσμε'.repeat(100)); };
socket.onmessage = (event) => {
  if (typeof event.data !== 'string') {
    add('binary ' + new Uint8Array(event.data).join(' '));
    socket.close(4000, 'enough');
    return;
  }
  add('text ' + event.data.length + ' ' + (event.data === 'κόσμε'.repeat(100)));
  socket.send(new Uint8Array([0, 127, 255]));
};
socket.onclose = (event) => { add('closed ' + event.code + ' ' + event.reason + ' ' + event.wasClean); };
const other = new WebSocket('ws://' + location.host + '/robot/listed');
other.onclose = (event) => { add('refused ' + event.code); };
// The browser's clock runs ahead of ours unless something is fetched: it is held back until all six have come.
const wait = () => { if (said.children.length < 6) fetch('/robot/while').then(() => setTimeout(wait, 50)); };
wait();
</script>]=]
local enough = moonloop.event()
app:get("/", function(_, res) return res:html(PAGE) end)
app:get("/whole", function() moonloop.timeout(30, function() enough:wait() end) return "whole" end)
app:get("/enough", function() enough:set() return "enough" end)
app:get("/while", function()
    moonloop.sleep(0.1)
    return ""
end)
app:ws("/socket", { protocols = { "chat.v1" }, compress = true }, function(ws)
    for message, kind in ws:messages() do
        ws:send(kind == "text" and message or { binary = message })
    end
end)
app:ws("/listed", { origins = { "https://example.com" } }, function() end)
app:sse("/events", function(stream)
    stream:send({ event = "note", id = 7, data = "two\nlines" })
    moonloop.sleep(60)
end)
return app
]]

describe("apps/chat", function()
    after_each(server.clean)

    it("carries what one says to all, in every worker, and to who watches", function()
        local site = examples.serve({ "chat/" }, { options = { "--workers", "3" } })
        local people = {}
        local function joined(name)
            local client = websocket.connect(site:connect(), "/chat/socket?name=" .. name)
            assert.equal(101, client.status)
            people[#people + 1] = client
            for _, each in ipairs(people) do
                assert.equal(("* %s came"):format(name), each:receive())
            end
        end
        for i = 1, 6 do
            joined("p" .. i)
        end
        people[1]:send("hello")
        for _, each in ipairs(people) do
            assert.equal("p1: hello", each:receive())
        end
        people[1]:finish()
        for i = 2, 6 do
            assert.equal("* p1 left", people[i]:receive())
        end
        local watching = site:connect()
        watching:send("GET /chat/watch HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.matches("text/event%-stream", watching:read_until("\r\n\r\n"))
        process.wait_for("the subscription", function()
            return site:call("ps").out:find("GET /chat/watch", 1, true)
        end)
        assert.equal("said\n", site:get("/chat/say/hi").body)
        assert.matches("data: curl: hi\n\n", watching:read_until("\n\n"))
        assert.equal("curl: hi", people[2]:receive())
        watching:close()
    end)

    it("works in a browser, which knows both kinds of streams by itself", function()
        local site = server.start({ apps = { ["robot.lua"] = ROBOT } })
        local html = browser.dom(("http://%s:%d/robot/"):format(site.host, site.port))
        local extension = "permessage%-deflate; server_no_context_takeover; client_no_context_takeover"
        assert.matches("open chat.v1 " .. extension, html)
        assert.matches("text 500 true", html)
        assert.matches("binary 0 127 255", html)
        assert.matches("closed 4000 enough true", html)
        assert.matches("event 7: two\nlines", html)
        assert.matches("refused 1006", html)
    end)
end)
