--- The page that a developer sees when a handler failed: message, source around the line, traceback, request.
--- Shown with `dev` only: it tells what the code looks like. Everything on it is escaped.

local core = require("moonloop.core.generation")
local errors = require("moonloop.util.errors")

local M = {}

local AROUND = 6 -- lines of source before and behind

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escape(text)
    return (tostring(text):gsub("[&<>\"']", ESCAPES):gsub("%z", "\239\191\189"))
end

---The innermost line of an app that the message or the traceback names.
local function place_of(message, traceback)
    for _, text in ipairs({ message, traceback or "" }) do
        for path, line in text:gmatch("([^%s:\"']+%.lua):(%d+):?") do
            local dir, rest = path:match("^([^/]+)/(.+)$")
            local app = rest and rest:match("^([^/.]+)")
            local bytes = app and (core.file(app, rest) or core.file("", rest))
            if dir and bytes then
                return path, tonumber(line), bytes
            end
        end
    end
end

local function excerpt(bytes, wanted)
    local parts, number = {}, 0
    for line in (bytes .. "\n"):gmatch("(.-)\r?\n") do
        number = number + 1
        if number >= wanted - AROUND and number <= wanted + AROUND then
            parts[#parts + 1] = ('<span class="%s"><i>%4d</i> %s</span>'):format(
                number == wanted and "here" or "line", number, escape(line))
        end
    end
    return table.concat(parts, "\n")
end

local function rows(list)
    local parts = {}
    for _, row in ipairs(list) do
        parts[#parts + 1] = ("<tr><th>%s</th><td>%s</td></tr>"):format(escape(row[1]), escape(row[2]))
    end
    return table.concat(parts)
end

local function describe_request(req)
    local ok, list = pcall(function()
        local found = {
            { "Request", req.method .. " " .. req.target }, { "Route", req.route }, { "App", req.app },
            { "Request id", req.id }, { "From", req.remote_addr },
        }
        local names = {}
        for name in pairs(req.headers) do
            names[#names + 1] = name
        end
        table.sort(names)
        for _, name in ipairs(names) do
            found[#found + 1] = { name, req.headers[name] }
        end
        return found
    end)
    return ok and rows(list) or ""
end

local PAGE = [[
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%s</title><style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color-scheme: light dark }
h1 { font-size: 1.2rem; white-space: pre-wrap; overflow-wrap: anywhere } h2 { font-size: 1rem; margin-top: 2rem }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8884; border-radius: 6px; font-size: 14px }
.here { background: #e5484d33; display: inline-block; min-width: 100%% } i { opacity: .5; font-style: normal }
th { text-align: left; font-weight: normal; opacity: .6; padding-right: 1rem; vertical-align: top; white-space: nowrap }
td { overflow-wrap: anywhere }
</style></head><body>
<p>%d in %s</p>
<h1>%s</h1>
%s<h2>Traceback</h2><pre>%s</pre>
<h2>Request</h2><table>%s</table>
</body></html>
]]

---A page about `err`; never raises.
---@param err any what a handler raised
---@param req moonloop.Request
---@param status integer
---@return string body
---@return integer status
---@return table headers
function M.render(err, req, status)
    local message = errors.message(err)
    local traceback = type(err) == "table" and type(err.traceback) == "string" and err.traceback or nil
    local path, line, bytes = place_of(message, traceback)
    local source = ""
    if path then
        source = ("<h2>%s:%d</h2><pre>%s</pre>\n"):format(escape(path), line, excerpt(bytes, line))
    end
    local headers = { ["Content-Type"] = "text/html; charset=utf-8", ["Cache-Control"] = "no-store" }
    local _, where = pcall(function() return req.method .. " " .. req.path end)
    return PAGE:format(escape(message), status, escape(where), escape(message), source,
        escape(traceback or "none"), describe_request(req)), status, headers
end

return M
