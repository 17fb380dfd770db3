--- Tests of apps: a client that calls them inside the process of the spec, on the road that every request
--- takes, without a port. For `moonloop test`.

local core = require("moonloop.core.testing")
local json = require("moonloop.json")

---@class moonloop.testing.Response
---@field status integer
---@field reason string
---@field headers table<string, string> by name in any case; several of one name have ", " between
---@field text string the body
local Response = { __name = "moonloop.testing.Response" }
Response.__index = Response

---The body, decoded. Raises `json` when it is none.
---@return any
function Response:json()
    return json.decode(self.text)
end

---@class moonloop.testing.Client
local Client = { __name = "moonloop.testing.Client" }
Client.__index = Client

local M = {}

local any_case = {
    __index = function(headers, name)
        return type(name) == "string" and rawget(headers, name:lower()) or nil
    end,
}

local function join_chunks(body)
    local parts, at = {}, 1
    while true do
        local size, stop = body:match("^(%x+)[^\r\n]*\r\n()", at)
        local length = size and tonumber(size, 16)
        if not length then
            error("the answer was cut off in its body", 0)
        elseif length == 0 then
            return table.concat(parts)
        end
        parts[#parts + 1] = body:sub(stop, stop + length - 1)
        at = stop + length + 2
    end
end

---@param bytes string everything that came back
---@return moonloop.testing.Response
local function parse(bytes)
    local at = 1
    while bytes:match("^HTTP/1%.1 1%d%d ", at) do -- 100 Continue and its like come before the answer
        at = select(2, bytes:find("\r\n\r\n", at, true)) + 1
    end
    local status, reason, fields, body = bytes:match("^HTTP/1%.[01] (%d%d%d) ?([^\r\n]*)\r\n(.-)\r\n(.*)$", at)
    if not status then
        error("no answer came: the connection was closed", 0)
    end
    if fields ~= "" then
        fields, body = bytes:match("^[^\n]*\n(.-\r\n)\r\n(.*)$", at)
    end
    local headers = setmetatable({}, any_case)
    for name, value in fields:gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)\r\n") do
        name = name:lower()
        local before = rawget(headers, name)
        headers[name] = before and before .. ", " .. value or value
    end
    if headers["transfer-encoding"] == "chunked" then
        body = join_chunks(body)
    end
    return setmetatable({
        status = tonumber(status), reason = reason, headers = headers, text = body,
    }, Response)
end

local function encode(text)
    return (tostring(text):gsub("[^%w%-._~]", function(char)
        return ("%%%02X"):format(char:byte())
    end))
end

---@param fields table<string, any>
local function encode_form(fields)
    local parts = {}
    for name, value in pairs(fields) do
        parts[#parts + 1] = encode(name) .. "=" .. encode(value)
    end
    table.sort(parts)
    return table.concat(parts, "&")
end

local function add_default(headers, name, value)
    for given in pairs(headers) do
        if given:lower() == name:lower() then
            return
        end
    end
    headers[name] = value
end

---@class moonloop.testing.Options
---@field headers? table<string, string>
---@field query? table<string, any>
---@field json? any sent as JSON
---@field form? table<string, any> sent urlencoded
---@field body? string

---@param options moonloop.testing.Options
---@return string? body
---@return string? content_type
local function make_body(options)
    if options.json ~= nil then
        return json.encode(options.json), "application/json"
    elseif options.form then
        return encode_form(options.form), "application/x-www-form-urlencoded"
    end
    return options.body
end

---Calls an app and waits for the whole answer. Raises when the connection ends without one.
---@param method string
---@param target string path, with or without a query
---@param options? moonloop.testing.Options
---@return moonloop.testing.Response
function Client:request(method, target, options)
    options = options or {}
    local headers = {}
    for name, value in pairs(options.headers or {}) do
        headers[name] = value
    end
    local body, content_type = make_body(options)
    if content_type then
        add_default(headers, "Content-Type", content_type)
    end
    if body then
        add_default(headers, "Content-Length", #body)
    end
    add_default(headers, "Host", "testing")
    headers.Connection = "close"
    if options.query then
        target = target .. (target:find("?", 1, true) and "&" or "?") .. encode_form(options.query)
    end
    local lines = { ("%s %s HTTP/1.1\r\n"):format(method, target) }
    for name, value in pairs(headers) do
        lines[#lines + 1] = ("%s: %s\r\n"):format(name, value)
    end
    lines[#lines + 1] = "\r\n" .. (body or "")
    local ok, bytes = core.call(self.host, table.concat(lines))
    if not ok then
        error(bytes, 0)
    end
    return parse(bytes)
end

for _, method in ipairs({ "get", "head", "options", "post", "put", "patch", "delete" }) do
    Client[method] = function(self, target, options)
        return self:request(method:upper(), target, options)
    end
end

---Loads the apps of a directory as a worker would. Raises what is wrong when one does not load.
---@param apps? string the apps directory; default "apps"
---@param options? table<string, any> options of the server: timeout, max_body, ...
---@return moonloop.testing.Client
function M.client(apps, options)
    local settled = require("moonloop.cli.config").defaults({ apps = apps or "apps" })
    for name, value in pairs(options or {}) do
        if settled[name] == nil then
            error(("client: there is no option %q"):format(tostring(name)), 2)
        end
        settled[name] = value
    end
    local host, failures = core.open(settled)
    if failures ~= "" then
        error(failures, 0)
    end
    return setmetatable({ host = host }, Client)
end

return M
