--- What the pages of these examples have in common: colours for light and dark, type, buttons, the sign. Nothing is
--- loaded from elsewhere.

local M = {}

---@type string CSS
M.STYLE = [[
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #fff; --ink: #20222b; --soft: #666a78;
  --line: #e3e1da; --accent: #4254b8; --on-accent: #fff; --bar: #8f9be0; --moon: #e9b93c; --bad: #b3382c }
@media (prefers-color-scheme: dark) { :root { --paper: #13151d; --card: #1a1d28; --ink: #e7e6e1; --soft: #989cab;
  --line: #2b2f3d; --accent: #a9b6ff; --on-accent: #13151d; --bar: #6474cf; --moon: #f3cf66; --bad: #ff8d7e } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 3.5rem 1.5rem 4rem }
h1 { font-size: 2.5rem; line-height: 1.1; letter-spacing: -.02em; margin: 0; display: flex; gap: .9rem; align-items: center }
h1 svg { width: 3rem; height: 3rem; flex: none }
h2 { font-size: 1.05rem; margin: 0 0 .2rem }
p { margin: 0 }
code, pre, output { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .86em }
code { white-space: nowrap }
.lead { font-size: 1.15rem; color: var(--soft); max-width: 39rem; margin: 1rem 0 2.4rem }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.3rem 1.5rem }
h3 { font-size: .8rem; font-weight: 600; letter-spacing: .08em; text-transform: uppercase; color: var(--soft);
  margin: 2.6rem 0 .8rem }
button { font: inherit; font-size: .85rem; font-weight: 600; color: var(--accent); background: none;
  border: 1px solid currentColor; border-radius: 99px; padding: .22rem .95rem; margin: 0 .4rem .5rem 0; cursor: pointer }
button:hover { background: var(--accent); color: var(--on-accent); border-color: var(--accent) }
button:disabled { opacity: .45; cursor: default }
button:focus-visible, a:focus-visible { outline: 3px solid var(--moon); outline-offset: 2px }
footer { color: var(--soft); font-size: .88rem; margin-top: 2.4rem }
a { color: var(--accent) }
]]

---@type string SVG
M.SIGN = [[<svg viewBox="0 0 48 48" aria-hidden="true"><path fill="var(--moon)"
d="M30 5a20 20 0 1 0 13 29A16 16 0 0 1 30 5z"/><circle cx="37" cy="16" r="3" fill="var(--bar)"/></svg>]]

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

---Text as HTML, for content and for attributes in double quotes.
---@param text string
---@return string
function M.escape(text)
    return (text:gsub('[&<>"]', ENTITIES))
end

return M
