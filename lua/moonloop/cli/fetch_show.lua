--- How `moonloop fetch` shows heads, stages and times.

local M = {}

local WIDTH = 40
local USER_AGENT = "User-Agent: " .. require("moonloop.core.http").user_agent()

---@param text string
---@param colour string as of ECMA-48, "1"
---@param is_coloured boolean
local function paint(text, colour, is_coloured)
    return is_coloured and ("\27[%sm%s\27[0m"):format(colour, text) or text
end

local function status_colour(status)
    return status < 300 and "32;1" or status < 400 and "33;1" or "31;1"
end

---The head of an answer, a line each, without line ends.
---@param raw string as it came
---@return string[]
function M.lines(raw)
    local lines = {}
    for line in (raw .. "\n"):gmatch("([^\r\n]*)\r?\n") do
        if line ~= "" then
            lines[#lines + 1] = line
        end
    end
    return lines
end

---The head of a request, as core/http/fetch.c writes it; a spec compares the two.
---@param wanted moonloop.http.Wanted
---@param proxy? string
---@return string
function M.request_head(wanted, proxy)
    local scheme, place, target = wanted.url:match("^(%a[%w+.-]*)://([^/?#]*)([^#]*)")
    local is_forwarded = proxy and scheme:lower() == "http" and not proxy:lower():match("^socks")
    local default_port = scheme:lower() == "https" and ":443$" or ":80$"
    local host = scheme == "http+unix" and "localhost" or place:gsub(default_port, "")
    target = target:match("^/") and target or "/" .. target
    local lines = { ("%s %s HTTP/1.1"):format(wanted.method, is_forwarded and "http://" .. host .. target or target) }
    local defaults = { { "host", "Host: " .. host }, { "user-agent", USER_AGENT }, { "accept", "Accept: */*" } }
    local seen = {}
    for i = 1, #wanted.fields, 2 do
        seen[wanted.fields[i]:lower()] = true
        lines[#lines + 1] = wanted.fields[i] .. ": " .. wanted.fields[i + 1]
    end
    for _, default in ipairs(defaults) do
        if not seen[default[1]] then
            lines[#lines + 1] = default[2]
        end
    end
    local method = wanted.method
    local source = wanted.source
    if source then
        local length = source.length or source.measure and source:measure()
        lines[#lines + 1] = length and "Content-Length: " .. length or "Transfer-Encoding: chunked"
    elseif wanted.body or method == "POST" or method == "PUT" or method == "PATCH" then
        lines[#lines + 1] = "Content-Length: " .. #(wanted.body or "")
    end
    return table.concat(lines, "\n")
end

---@param lines string[]
---@param status integer
---@param is_coloured boolean
---@return string ends with an empty line
function M.head(lines, status, is_coloured)
    local out = { paint(lines[1] or "", status_colour(status), is_coloured) }
    for i = 2, #lines do
        local name, value = lines[i]:match("^([^:]*)(:.*)$")
        out[i] = name and paint(name, "36", is_coloured) .. value or lines[i]
    end
    return table.concat(out, "\n") .. "\n\n"
end

---What -v says of a TLS session; nothing when there is none.
---@param session table<string, string>
---@return string[]
function M.tls(session)
    local lines = {}
    if session.version then
        lines[1] = ("%s, %s%s"):format(session.version, session.cipher or "no cipher",
            session.resumed == "true" and ", resumed" or "")
    end
    if session.subject then
        lines[#lines + 1] = ("certificate %s, for %s"):format(session.subject, session.name or "no name")
        lines[#lines + 1] = ("issued by %s, good until %s"):format(session.issuer or "nobody",
            session.not_after and os.date("!%Y-%m-%d %H:%M:%S UTC", tonumber(session.not_after)) or "?")
    end
    return lines
end

---"1.25 ms", "3.1 s"
---@param seconds number
---@return string
function M.duration(seconds)
    if seconds >= 1 then
        return ("%.2f s"):format(seconds)
    end
    return ("%.2f ms"):format(seconds * 1000)
end

---The stages that were gone through: name, when it began, how long it took.
---@param timing moonloop.http.Timing
---@return { [1]: string, [2]: number, [3]: number }[]
function M.stages(timing)
    local stages, at = {}, 0
    for _, each in ipairs({ { "dns", timing.dns }, { "connect", timing.connect }, { "tls", timing.tls } }) do
        if each[2] then
            stages[#stages + 1] = { each[1], at, each[2] }
            at = at + each[2]
        end
    end
    local first, total = timing.first_byte or timing.total, timing.total
    if first then
        stages[#stages + 1] = { "waiting", at, math.max(0, first - at) }
        stages[#stages + 1] = { "body", first, math.max(0, (total or first) - first) }
    end
    return stages
end

---A line for each stage, with a bar that shows when it was.
---@param timing moonloop.http.Timing
---@return string
function M.timing(timing)
    local total = timing.total or timing.first_byte or 0
    local out = {}
    for _, stage in ipairs(M.stages(timing)) do
        local scale = total > 0 and WIDTH / total or 0
        local from = math.min(math.floor(stage[2] * scale + 0.5), WIDTH - 1)
        local to = math.min(math.max(math.floor((stage[2] + stage[3]) * scale + 0.5), from + 1), WIDTH)
        local bar = (" "):rep(from) .. ("="):rep(to - from)
        out[#out + 1] = ("%-8s %10s  |%-" .. WIDTH .. "s|\n"):format(stage[1], M.duration(stage[3]), bar)
    end
    out[#out + 1] = ("%-8s %10s\n"):format("total", M.duration(total))
    return table.concat(out)
end

return M
