--- `res`: what a handler sets beside what it returns.

local core = require("moonloop.core.request")
local handles = require("moonloop.util.handle")

local settle = require("moonloop.util.errors").settle

---@class moonloop.Response
---@field status integer? 200..599
---@field headers table<string, string|string[]> a list sends the field several times
local Response = { __name = "moonloop.Response", __transfer = false }

local methods = {}

function Response.__index(res, key)
    local method = methods[key]
    if method then
        return method
    end
    if key == "headers" then
        local headers = {}
        rawset(res, "headers", headers)
        return headers
    end
end

local function set_type(res, kind)
    for name in pairs(res.headers) do
        if type(name) == "string" and name:lower() == "content-type" then
            return
        end
    end
    res.headers["Content-Type"] = kind
end

local function leave(res, body)
    rawset(res, "body", body)
    return body
end

---Answers HTML. Like its sisters it returns the body, so `return res:html(s)` and a bare call are the same.
---@param text string
function methods:html(text)
    set_type(self, "text/html; charset=utf-8")
    return leave(self, text)
end

---@param text string
function methods:text(text)
    set_type(self, "text/plain; charset=utf-8")
    return leave(self, text)
end

---Answers JSON, also for values that are no tables.
---@param value any
function methods:json(value)
    set_type(self, "application/json")
    return leave(self, require("moonloop.json").encode(value))
end

---@param url string
---@param status? integer 302 when nil
function methods:redirect(url, status)
    self.status = status or 302
    self.headers.Location = url
    return leave(self, "")
end

local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

---@class moonloop.CookieOptions
---@field path? string
---@field domain? string
---@field max_age? integer
---@field expires? integer
---@field secure? boolean
---@field http_only? boolean
---@field same_site? string

---Sets a cookie (RFC 6265, 4.1).
---@param name string a token
---@param value string percent-encoded where it has to be
---@param options? moonloop.CookieOptions
function methods:cookie(name, value, options)
    options = options or {}
    if type(name) ~= "string" or not name:match("^[%w!#$%%&'*+%-.^_`|~]+$") then
        error(("cookie: %q is no name for a cookie"):format(tostring(name)), 2)
    end
    local parts = { name .. "=" .. tostring(value):gsub("[^%w!#$&'()*+%-./:<=>?@%[%]^_`{|}~]", function(c)
        return ("%%%02X"):format(c:byte())
    end) }
    local function add(format, option)
        if option then
            if type(option) == "string" and option:find("[%c;]") then
                error(("cookie: %s may hold no control character and no semicolon"):format(
                    format:match("^%a+"):lower()), 3)
            end
            parts[#parts + 1] = format:format(option)
        end
    end
    add("Path=%s", options.path or "/")
    add("Domain=%s", options.domain)
    add("Max-Age=%d", options.max_age)
    add("Expires=%s", options.expires and os.date("!%a, %d %b %Y %H:%M:%S GMT", options.expires))
    add("Secure", options.secure)
    add("HttpOnly", options.http_only ~= false)
    local same_site = options.same_site or "lax"
    add("SameSite=%s", SAME_SITE[same_site:lower()] or error("cookie: same_site is strict, lax or none", 2))
    local headers = self.headers
    local list = headers["Set-Cookie"]
    if type(list) ~= "table" then
        list = { list }
    end
    list[#list + 1] = table.concat(parts, "; ")
    headers["Set-Cookie"] = list
end

---Sends a part of the answer now; status and headers leave with the first. Waits for a slow client.
---Raises `closed` when the client has gone.
---@param chunk string
function methods:write(chunk)
    if not self[1] then
        error("res:write: a handler that runs on a thread cannot stream; return the whole body", 2)
    end
    settle(core.write(self[1], self, chunk))
end

---Sends status (200 unless it is set) and headers now; the body follows with `write`. A handler that returns
---having written less than `length` cuts the connection, so that the client notices; writing more raises `misuse`.
---@param length? integer bytes of the body; nil: not known yet
function methods:begin(length)
    if not self[1] then
        error("res:begin: a handler that runs on a thread cannot stream; return the whole body", 2)
    end
    self.status = self.status or 200
    settle(core.begin(self[1], self, length))
end

---Files are served by a later version.
function methods.file()
    error("res:file is not there yet: read the file and return its bytes", 2)
end

handles.finish(Response, "res", function(res)
    return handles.text("answer", rawget(res, "status") and "status " .. tostring(rawget(res, "status")))
end, methods)

return Response
