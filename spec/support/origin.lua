--- Starts spec/support/origin.py, the server that the client's specs talk to.

local http = require("moonloop.http")
local moonloop = require("moonloop")

local M = {}

local running = 0

---@class spec.Origin
---@field url string without a slash at the end
---@field port integer
local Origin = {}
Origin.__index = Origin

---@param certificate? string path, for TLS
---@param key? string path
---@param options? string of its TLS, see tls_context in spec/support/origin.py
---@return spec.Origin
function M.start(certificate, key, options)
    local fifo = os.tmpname()
    local out = os.tmpname()
    os.remove(fifo)
    assert(os.execute("mkfifo " .. fifo) == 0 or true)
    os.execute(("python3 spec/support/origin.py %s %s %s <%s >%s 2>%s.err &"):format(certificate or "", key or "",
        options or "", fifo, out, out))
    local input = assert(io.open(fifo, "w")) -- its end is the end of the server, however the spec ends
    local port
    while not port do
        local file = assert(io.open(out))
        port = tonumber(file:read("*l"))
        file:close()
        if not port then
            os.execute("sleep 0.02")
        end
    end
    os.remove(fifo)
    os.remove(out)
    os.remove(out .. ".err")
    running = running + 1
    return setmetatable({
        input = input, port = port, url = ("%s://127.0.0.1:%d"):format(certificate and "https" or "http", port),
    }, Origin)
end

local function encode(text)
    return (text:gsub("[^%w]", function(char)
        return ("%%%02X"):format(char:byte())
    end))
end

---The URL that is answered with these bytes.
---@param bytes string
---@param after? "keep"|"close"|"reset"|"drop"|"hang"
---@param size? integer bytes sent at a time
---@return string
function Origin:reply(bytes, after, size)
    return ("%s/reply?bytes=%s&then=%s&size=%d"):format(self.url, encode(bytes), after or "keep", size or 0)
end

---A server whose connections do as they are told: the first the first script, the second the second, each after them
---the last. A script is a list of steps: "read", "head", "raw", { "more", count }, { "skip", count }, "hold",
---{ "send", bytes, size }, { "drip", bytes }, "pause", "shut", "wait", "reset", "close"; spec/support/origin.py says
---what they are.
---@param ... (string|table)[]
---@return string url
---@return integer port
function Origin:script(...)
    local parts = {}
    for i, script in ipairs({ ... }) do
        local steps = {}
        for j, step in ipairs(script) do
            if type(step) == "table" then
                step = ("%s%s=%s"):format(step[1], step[3] and ":" .. step[3] or "", encode(tostring(step[2])))
            end
            steps[j] = step
        end
        parts[i] = "c=" .. encode(table.concat(steps, " "))
    end
    local port = tonumber(http.get(self.url .. "/script?" .. table.concat(parts, "&")):body())
    return ("http://127.0.0.1:%d"):format(port), port
end

---What a scripted server has seen, once there are `count` lines: "connection", "request GET / HTTP/1.1", "end 0" …
---@param port integer
---@param count integer
---@return string[]
function Origin:log(port, count)
    local lines = {}
    local text = http.get(("%s/log?port=%d&count=%d"):format(self.url, port, count)):body()
    for line in text:gmatch("[^\n]+") do
        lines[#lines + 1] = line
    end
    return lines
end

---The requests that a scripted server has logged by "raw" and "more", once there are `count`.
---@param port integer
---@param count integer
---@return string ... as it came
function Origin:raw(port, count)
    local all, lines = {}, 0
    while #all < count do
        lines, all = lines + 1, {}
        for _, line in ipairs(self:log(port, lines)) do
            local raw = line:match("^raw (.*)$")
            if raw then
                all[#all + 1] = raw:gsub("%%(%x%x)", function(hex)
                    return string.char(tonumber(hex, 16))
                end)
            end
        end
    end
    return unpack(all, 1, count)
end

---Lets a connection of a scripted server that holds go on.
---@param port integer
function Origin:release(port)
    http.get(("%s/release?port=%d"):format(self.url, port)):body()
end

---What an iterator over the pieces of a body gives until there are so many bytes, however they were cut.
---@param chunks fun(): string?
---@param count integer
---@return string at least as long, unless the body ends before
function M.take(chunks, count)
    local text = ""
    while #text < count do
        local chunk = chunks()
        if not chunk then
            break
        end
        text = text .. chunk
    end
    return text
end

---A body from a source that gives it once.
---@param text string
---@return fun(): string?
function M.once(text)
    local is_given = false
    return function()
        local piece = not is_given and text or nil
        is_given = true
        return piece
    end
end

---Ends it. After the last one it waits until the shared client has nothing open: later specs count.
function Origin:stop()
    self.input:close()
    running = running - 1
    if running > 0 then
        return
    end
    moonloop.timeout(10, function()
        repeat
            collectgarbage()
            collectgarbage()
            moonloop.sleep(0.005)
        until http.stats().connections == 0
    end)
end

return M
