--- The looks of apps/index.lua: one HTML page, nothing loaded from elsewhere, for light and dark, wide and narrow.

local json = require("moonloop.json")
local looks = require("looks")

local M = {}

local STYLE = looks.STYLE .. [[
.row { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: .6rem 2.5rem }
.row + .row { border-top: 1px solid var(--line); margin-top: 1.3rem; padding-top: 1.3rem }
.says { color: var(--soft); font-size: .95rem }
.file { color: var(--soft); font-size: .8rem; margin-top: .45rem }
.answer { min-height: 3.4rem }
.answer pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
.took { color: var(--soft); font-size: .8rem; margin-top: .25rem }
.took.bad { color: var(--bad) }
.lane { height: .5rem; margin-bottom: .26rem; background: var(--line); border-radius: 99px; overflow: hidden }
.lane i { display: block; height: 100%; border-radius: 99px; background: var(--bar); width: 0 }
.lane.bad i { background: var(--bad) }
.live { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: .6rem 2.5rem; align-items: center;
  border-left: 5px solid var(--moon) }
.live output { display: block; font-size: 1.35rem; overflow-wrap: anywhere }
.live output.new { animation: glow 1.6s ease-out }
@keyframes glow { from { color: var(--moon) } }
@media (prefers-reduced-motion: reduce) { .live output.new { animation: none } }
@media (max-width: 44rem) { main { padding: 2rem 1rem 3rem } h1 { font-size: 2rem } h1 svg { width: 2.4rem; height: 2.4rem }
  .lead { font-size: 1.05rem; margin-bottom: 1.8rem } .row, .live { grid-template-columns: minmax(0, 1fr) }
  .card { padding: 1.1rem 1.15rem } .answer { min-height: 0 } }
]]

local SCRIPT = [[
const ask = async (path) => {
  const began = performance.now();
  try {
    const response = await fetch(path, { cache: "no-store" });
    const text = (await response.text()).trim();
    return { text, ok: response.ok, status: response.status, began, ended: performance.now() };
  } catch (error) {
    return { text: "no answer: " + error.message, ok: false, status: 0, began, ended: performance.now() };
  }
};
const shown = (ms) => ms < 9.95 ? ms.toFixed(1) + " ms" : ms < 1000 ? ms.toFixed(0) + " ms" : (ms / 1000).toFixed(2) + " s";
const make = (name, kind, text) => {
  const element = document.createElement(name);
  element.className = kind || "";
  element.textContent = text || "";
  return element;
};
const took = (text, bad) => make("p", bad ? "took bad" : "took", text);

const showOne = async (box, path) => {
  const result = await ask(path);
  const line = "GET " + path + " \u2192 " + (result.status || "nothing") + " in " + shown(result.ended - result.began);
  box.replaceChildren(make("pre", "", result.text), took(line, !result.ok));
};

// A lane each, from the moment of asking to the answer; the scale grows with the slowest.
const showMany = async (box, paths) => {
  const began = performance.now(), ends = paths.map(() => null);
  const lanes = paths.map(() => { const lane = make("div", "lane"); lane.append(make("i")); return lane; });
  box.replaceChildren(...lanes);
  let running = true;
  const draw = () => {
    const now = performance.now() - began, scale = Math.max(now, 400);
    lanes.forEach((lane, i) => { lane.firstChild.style.width = 100 * (ends[i] ?? now) / scale + "%"; });
    if (running) requestAnimationFrame(draw);
  };
  draw();
  const results = await Promise.all(paths.map(async (path, i) => {
    const result = await ask(path);
    ends[i] = result.ended - began;
    lanes[i].classList.toggle("bad", !result.ok);
    lanes[i].title = path + ": " + shown(ends[i]);
    return result;
  }));
  running = false;
  draw();
  const failed = results.filter((result) => !result.ok).length;
  const summary = "first answer after " + shown(Math.min(...ends)) + ", last after " + shown(Math.max(...ends));
  box.append(took(failed ? summary + "; " + failed + " failed" : summary, failed));
};

document.querySelectorAll("button[data-paths]").forEach((button) => {
  button.addEventListener("click", async () => {
    const row = button.closest(".row"), paths = JSON.parse(button.dataset.paths);
    const buttons = row.querySelectorAll("button");
    buttons.forEach((each) => { each.disabled = true; });
    await (paths.length > 1 ? showMany : showOne)(row.querySelector(".answer"), paths.length > 1 ? paths : paths[0]);
    buttons.forEach((each) => { each.disabled = false; });
  });
});

// The answer of hello.lua as it is now, while somebody looks.
const live = document.getElementById("live"), note = document.getElementById("note");
const look = async () => {
  if (!document.hidden) {
    const result = await ask("/hello/");
    const before = live.textContent;
    if (result.text !== before) {
      live.textContent = result.text;
      if (before !== "\u2026") {
        live.classList.remove("new");
        void live.offsetWidth; // lets the animation begin again
        live.classList.add("new");
        note.textContent = "New code since " + new Date().toLocaleTimeString() + ". Nothing was restarted.";
      }
    }
  }
  setTimeout(look, 700);
};
look();
]]

local HEAD = [[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>moonloop</title>
<link rel="icon" href="data:,">
<style>
%s</style>
</head>
<body>
<main>
<header>
<h1>%smoonloop</h1>
<p class="lead">An application server that you write in Lua. A handler is plain code from top to bottom; whatever waits
in it lets the others run. This page is one of its apps: <code>%sindex.lua</code>.</p>
</header>
<section class="card live">
<div><h2>Change something</h2>
<p class="says">Open <code>%shello.lua</code>, give <code>GREETING</code> another word, and save.</p></div>
<div aria-live="polite"><output id="live">…</output>
<p class="took" id="note">This is <a href="/hello/">/hello/</a>, asked again and again.</p></div>
</section>
<h3>Examples</h3>
<section class="card">
]]

local FOOT = [[
</section>
<footer>Your own app is one more file: <code>%sNAME.lua</code> is served under <code>/NAME</code>, from the moment that
you save it. <code>./moonloop new NAME</code> writes one to begin with; <code>docs/tutorial.md</code> goes on from
there.</footer>
</main>
<script>
%s</script>
</body>
</html>
]]

local escape = looks.escape

local function render_row(folder, example)
    local buttons = {}
    for i, try in ipairs(example.tries) do
        buttons[i] = ('<button type="button" data-paths="%s">%s</button>'):format(
            escape(json.encode(json.array(try[2]))), escape(try[1]))
    end
    return ([[
<div class="row"><div><h2>%s</h2>
<p class="says">%s</p>
<p class="file"><code>%s</code> · <a href="%s">%s</a></p></div>
<div><div>%s</div><div class="answer" aria-live="polite"></div></div></div>
]]):format(escape(example.title), example.says, escape(folder .. example.file),
        escape(example.path), escape(example.path), table.concat(buttons))
end

---@param folder string "apps/": where the files of the examples are
---@param examples { file: string, path: string, title: string, says: string, tries: table[] }[] `says` is HTML
---@return string html
function M.render(folder, examples)
    local shown_folder = escape(folder)
    local parts = { HEAD:format(STYLE, looks.SIGN, shown_folder, shown_folder) }
    for _, example in ipairs(examples) do
        parts[#parts + 1] = render_row(folder, example)
    end
    parts[#parts + 1] = FOOT:format(shown_folder, SCRIPT)
    return table.concat(parts)
end

return M
