--- The page of the gallery: a card for each pattern with its source, a button that runs it, and a picture of the run.

local looks = require("looks")

local M = {}

local STYLE = looks.STYLE .. [[
.head { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: baseline; justify-content: space-between }
.pattern { margin-bottom: 1rem; display: grid; grid-template-columns: minmax(0, 4fr) minmax(0, 7fr); gap: .4rem 2.2rem }
.says { color: var(--soft); font-size: .95rem; margin-bottom: .7rem }
.picture { min-height: 2.2rem; align-self: center }
.picture svg { display: block; width: 100%; height: auto; overflow: visible }
.picture text { fill: var(--soft); font: 11px system-ui, sans-serif }
.picture .lane { stroke: var(--line); stroke-width: 1 }
.picture rect { fill: var(--bar); transform-box: fill-box; transform-origin: left; animation: grow .5s ease-out }
.picture rect.failed, .picture rect.timeout { fill: var(--bad) }
.picture rect.cancelled { fill: none; stroke: var(--soft); stroke-dasharray: 3 2 }
.picture .note { fill: var(--moon) }
@keyframes grow { from { transform: scaleX(0) } }
@media (prefers-reduced-motion: reduce) { .picture rect { animation: none } }
.result { font-size: .9rem; margin-top: .35rem }
.result.bad { color: var(--bad) }
details { grid-column: 1 / -1; margin-top: .3rem }
summary { color: var(--soft); font-size: .8rem; cursor: pointer }
details pre { overflow-x: auto; border-top: 1px solid var(--line); padding-top: .8rem; margin: .6rem 0 0; line-height: 1.45 }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; color: var(--soft); font-size: .85rem; margin-bottom: 1.2rem }
.key i { display: inline-block; width: 1.4rem; height: .6rem; border-radius: 3px; background: var(--bar); margin-right: .4rem }
.key .bad { background: var(--bad) }
.key .cut { background: none; border: 1px dashed var(--soft) }
.key .dot { width: .6rem; border-radius: 99px; background: var(--moon) }
@media (max-width: 44rem) { main { padding: 2rem 1rem 3rem } .pattern { grid-template-columns: minmax(0, 1fr) }
  .card { padding: 1.1rem 1.15rem } }
]]

local SCRIPT = [[
const draw = (name, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  return element;
};
const seconds = (value) => value < 1 ? (value * 1000).toFixed(0) + " ms" : value.toFixed(2) + " s";
const clipped = (text, length) => text.length > length ? text.slice(0, length - 1) + "\u2026" : text;

// A lane for each name; a bar for each piece of work; a dot with its text for each thing to note.
const picture = (story) => {
  const lanes = [...new Set(story.bars.map((bar) => bar.name))];
  const left = 130, width = 620, row = lanes.length > 9 ? 16 : 20, top = 4;
  const notes = story.notes.length > 0;
  const bottom = top + lanes.length * row;
  const x = (at) => left + (width - left) * at / story.took;
  const svg = draw("svg", { viewBox: "0 0 " + width + " " + (bottom + (notes ? 44 : 22)), role: "img" });
  svg.append(draw("title", {}, story.bars.length + " pieces of work in " + seconds(story.took)));
  lanes.forEach((name, i) => {
    const y = top + i * row + row / 2;
    svg.append(draw("line", { x1: left, x2: width, y1: y, y2: y, class: "lane" }));
    svg.append(draw("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, clipped(name, 22)));
  });
  story.bars.forEach((bar) => {
    const y = top + lanes.indexOf(bar.name) * row + 3;
    const rect = draw("rect", { x: x(bar.from), y, width: Math.max(2, x(bar.to) - x(bar.from) - 1), height: row - 6, rx: 3,
      class: bar.outcome });
    rect.append(draw("title", {}, bar.name + ": " + bar.outcome + ", " + seconds(bar.from) + " to " + seconds(bar.to)));
    svg.append(rect);
  });
  story.notes.forEach((note) => {
    const dot = draw("circle", { cx: x(note.at), cy: bottom + 8, r: 4, class: "note" });
    dot.append(draw("title", {}, seconds(note.at) + ": " + note.text));
    svg.append(dot);
    if (story.notes.length <= 12)
      svg.append(draw("text", { x: Math.min(x(note.at), width - 4 * note.text.length), y: bottom + 24, "text-anchor": "middle" },
        clipped(note.text, story.notes.length > 5 ? 8 : 26)));
  });
  svg.append(draw("text", { x: left, y: bottom + (notes ? 42 : 18) }, "0"));
  svg.append(draw("text", { x: width, y: bottom + (notes ? 42 : 18), "text-anchor": "end" }, seconds(story.took)));
  return svg;
};

const run = async (card) => {
  const button = card.querySelector("button"), box = card.querySelector(".picture");
  const result = document.createElement("p");
  result.className = "result";
  button.disabled = true;
  try {
    const response = await fetch("run/" + card.id, { cache: "no-store" });
    if (!response.ok) throw new Error(response.status + ": " + (await response.text()).slice(0, 200));
    const story = await response.json();
    result.textContent = "\u2192 " + story.result;
    box.replaceChildren(picture(story), result);
  } catch (error) {
    result.className = "result bad";
    result.textContent = error.message;
    box.replaceChildren(result);
  }
  button.disabled = false;
};
const cards = [...document.querySelectorAll(".pattern")];
cards.forEach((card) => card.querySelector("button").addEventListener("click", () => run(card)));
document.getElementById("all").addEventListener("click", async () => { for (const card of cards) await run(card); });
// /patterns/#race shows that one, run.
const asked = document.getElementById(location.hash.slice(1));
if (asked && asked.classList.contains("pattern")) run(asked);
]]

local PAGE = [[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Patterns - moonloop</title>
<link rel="icon" href="data:,">
<style>
%s</style>
</head>
<body>
<main>
<header>
<h1>%sPatterns</h1>
<p class="lead">What people build with tasks, channels and limits. Each is one small file; run it here and see what
happened when.</p>
</header>
<div class="head"><p class="key"><span><i></i>done</span><span><i class="bad"></i>failed</span>
<span><i class="cut"></i>cancelled</span><span><i class="dot"></i>a moment</span></p>
<button type="button" id="all">run all</button></div>
%s<footer>Back to <a href="/">the examples</a>. <code>docs/patterns.md</code> says when to use which.</footer>
</main>
<script>
%s</script>
</body>
</html>
]]

local CARD = [[
<section class="card pattern" id="%s">
<div><h2>%s</h2>
<p class="says">%s</p>
<button type="button">run</button></div>
<div class="picture" aria-live="polite"></div>
%s</section>
]]

--- The text of a file, where it can be found from the directory that the server was started in.
local function source_of(path)
    local file = io.open(path, "rb")
    if not file then
        return ("<p class=\"says\"><code>%s</code></p>\n"):format(looks.escape(path))
    end
    local text = file:read("*a")
    file:close()
    return ("<details><summary>%s</summary><pre>%s</pre></details>\n"):format(looks.escape(path), looks.escape(text))
end

---@param patterns { name: string, file: string, title: string, says: string }[]
---@return string html
function M.render(patterns)
    local cards = {}
    for i, pattern in ipairs(patterns) do
        local title, says = looks.escape(pattern.title), looks.escape(pattern.says)
        cards[i] = CARD:format(pattern.name, title, says, source_of(pattern.file))
    end
    return PAGE:format(STYLE, looks.SIGN, table.concat(cards), SCRIPT)
end

return M
