--- An answer: its head is here, its body comes as it is asked for.

local core = require("moonloop.core.http")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")
local json = require("moonloop.json")

local settle = errors.settle

local M = {}

---@class moonloop.http.Timing
---@field dns? number seconds; each is nil when it did not happen
---@field connect? number
---@field tls? number
---@field first_byte? number from the beginning
---@field total? number from the beginning to the last byte; nil while the body comes

---@class moonloop.http.Response
---@field status integer
---@field ok boolean 200 to 299
---@field url string that answered, after redirects
---@field headers table<string, string> any case; several fields of a name are joined by ", ". Iterates with
---  names in lower case
---@field timing moonloop.http.Timing
---@field informational { status: integer, headers: moonloop.http.Headers }[] the interim answers before it, without 100
---@field history? { status: integer, url: string }[] the redirects that led here; nil: none
---@field tries? integer how often the request was sent; nil: once, as it had no `retries`
---@field private handle userdata
---@field private whole? string
local Response = { __name = "moonloop.http.Response" }

---@class moonloop.http.Headers: table<string, string>
local Headers = {
    __name = "moonloop.http.Headers",
    __index = function(self, name)
        return type(name) == "string" and rawget(self, name:lower()) or nil
    end,
}

local function add_field(headers, name, value)
    local before = headers[name]
    headers[name] = before and before .. ", " .. value or value
end

---@param head userdata|string
local function make_headers(head)
    local headers, fields = {}, core.headers(head)
    for i = 1, #fields, 2 do
        add_field(headers, fields[i], fields[i + 1])
    end
    return setmetatable(headers, Headers)
end

---@param text string as core.interim gives it
---@return { status: integer, headers: moonloop.http.Headers }[]
function M.parse_interim(text)
    local all, headers = {}, nil
    for line in text:gmatch("([^\n]*)\n") do
        if line == "" then
            headers = nil
        elseif not headers then
            headers = setmetatable({}, Headers)
            all[#all + 1] = { status = tonumber(line), headers = headers }
        else
            local name, value = line:match("^([^:]*): (.*)$")
            add_field(headers, name:lower(), value)
        end
    end
    return all
end

---Raises what went wrong with a request.
---@param code string
---@param wanted moonloop.http.Wanted
---@param reason string
---@param stage string
function M.fail(code, wanted, reason, stage)
    error(errors.new(code, ("%s %s: %s, %s"):format(wanted.method, wanted.url, reason, stage),
        { method = wanted.method, url = wanted.url, stage = stage }), 0)
end

local function make_timing(self)
    if rawget(self, "head") then
        return { first_byte = self.first_byte, total = self.total }
    end
    local dns, connect, tls, first_byte, total = core.timing(rawget(self, "handle"))
    return { dns = dns, connect = connect, tls = tls, first_byte = first_byte, total = total }
end

function Response.__index(self, key)
    if key == "headers" then
        local headers = make_headers(rawget(self, "head") or rawget(self, "handle"))
        rawset(self, key, headers)
        return headers
    elseif key == "informational" then
        local all = rawget(self, "head") and {} or M.parse_interim(core.interim(rawget(self, "handle")))
        rawset(self, key, all)
        return all
    elseif key == "timing" then
        local timing = make_timing(self)
        if timing.total then
            rawset(self, key, timing)
        end
        return timing
    end
    return Response[key]
end

---@param handle userdata? nil: all of it is here
---@param wanted moonloop.http.Wanted
---@param status integer
---@param whole? string the body, when all of it is here
---@param head? string the head, when there is no handle
---@param first_byte? number seconds, without a handle
---@param total? number seconds, without a handle
---@return moonloop.http.Response
function M.new(handle, wanted, status, whole, head, first_byte, total)
    return setmetatable({
        handle = handle, status = status, ok = status >= 200 and status < 300, url = wanted.url, whole = whole,
        wanted = wanted, max_body = wanted.max_body, head = head, first_byte = first_byte, total = total,
    }, Response)
end

---Every value of a field that may come several times, such as Set-Cookie.
---@param name string
---@return string[]
function Response:header_all(name)
    local values, fields = {}, core.headers(rawget(self, "head") or rawget(self, "handle"))
    for i = 1, #fields, 2 do
        if fields[i] == name:lower() then
            values[#values + 1] = fields[i + 1]
        end
    end
    return values
end

---The whole body; waits for the rest of it. Raises `too_large` beyond max_body, and what fetching raises.
---@return string
function Response:body()
    local whole = rawget(self, "whole")
    if not whole then
        if rawget(self, "is_streamed") then
            error("body: chunks() has taken some of it already", 2)
        end
        whole = settle(core.body(self.handle, self.max_body))
        self.whole = whole
    elseif #whole > self.max_body then
        M.fail("too_large", rawget(self, "wanted"), "the body is larger than max_body", "while reading the body")
    end
    return whole
end

---The body decoded. Raises `json` as well.
---@return any
function Response:json()
    return json.decode(self:body())
end

---Iterates over the body as it comes: `for chunk in res:chunks() do`. A server that is faster than the loop is
---held back. Raises what fetching raises.
---@return fun(): string?
function Response:chunks()
    local whole = rawget(self, "whole")
    if whole then
        return function()
            local chunk = whole
            whole = nil
            return chunk ~= "" and chunk or nil
        end
    end
    self.is_streamed = true
    return function()
        return (settle(core.chunk(self.handle)))
    end
end

---Gives the rest of the body up; what was not read whole cannot be read any more.
function Response:close()
    if not rawget(self, "whole") then
        -- Made while they can be.
        self.headers, self.timing, self.informational = self.headers, self.timing, self.informational
        core.close(self.handle)
    end
end

handles.finish(Response, "response", function(self)
    return ("response %d of %s"):format(self.status, self.url)
end)

return M
