--- From the options of a request to what is sent: URL, header fields, body; and what a redirect makes of it.

local core = require("moonloop.core.http")
local base64 = require("moonloop.util.base64")
local errors = require("moonloop.util.errors")
local json = require("moonloop.json")
local sources = require("moonloop.http.source")

local M = {}

---Raises a mistake of whoever called the client, with that place in front.
---@param format string
---@param ... any
function M.misuse(format, ...)
    local level = 2
    while true do
        local info = debug.getinfo(level, "S")
        if not info or not (info.source:find("/moonloop/http", 1, true) or info.what == "C"
            or info.what == "tail") then
            error(format:format(...), info and level or 0)
        end
        level = level + 1
    end
end

local misuse = M.misuse

---@class moonloop.http.Wanted
---@field method string
---@field url string without user and password
---@field fields string[] name, value, name, value, ...
---@field body? string
---@field source? moonloop.http.Source in place of the body
---@field expect? number seconds that the body waits for the server to ask for it
---@field max_body integer
---@field on_informational? fun(status: integer, headers: moonloop.http.Headers)

local OPTIONS = {
    method = "string", url = "string", headers = "table", query = "table", timeout = { number = true, boolean = true },
    json = "any", form = "table", body = { string = true, ["function"] = true, table = true }, length = "number",
    expect = { number = true, boolean = true }, redirects = "number", auth = "table", max_body = "number",
    on_informational = "function",
}
local DEFAULT_MAX_BODY = 64 * 1024 * 1024

---Raises, as the caller's mistake, for an option that does not exist or has the wrong type.
---@param options table
---@param known table<string, string|table<string, boolean>>
---@param what string
function M.check_options(options, known, what)
    if type(options) ~= "table" then
        misuse("%s: expected a table of options, got a %s", what, type(options))
    end
    for name, value in pairs(options) do
        local expected = known[name]
        if not expected then
            misuse("%s", require("moonloop.options").unknown(what, name, known))
        end
        local kind = type(value)
        local is_good = expected == "any" or expected == kind or type(expected) == "table" and expected[kind]
        if not is_good then
            misuse("%s: option %s: a %s does not do", what, name, kind)
        end
    end
    local timeout = options.timeout
    if timeout == true or type(timeout) == "number" and not (timeout > 0) then
        misuse("%s: option timeout: expected seconds, more than 0, or false", what)
    end
end

---Adds `name=value` pairs of a table, sorted, so that equal tables give equal URLs.
local function encode_pairs(map, what)
    local names, parts = {}, {}
    for name in pairs(map) do
        names[#names + 1] = name
    end
    table.sort(names, function(a, b)
        return tostring(a) < tostring(b)
    end)
    local function add(name, value)
        local kind = type(value)
        if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
            misuse("http: %s %s: cannot encode a %s", what, tostring(name), kind)
        end
        parts[#parts + 1] = core.encode(tostring(name)) .. "=" .. core.encode(tostring(value))
    end
    for _, name in ipairs(names) do
        local value = map[name]
        for _, each in ipairs(type(value) == "table" and value or { value }) do
            add(name, each)
        end
    end
    return table.concat(parts, "&")
end

local function full_url(options, base_url)
    local url = options.url
    if type(url) ~= "string" then
        misuse("http: expected a URL, got a %s", type(url))
    end
    if base_url and not url:match("^[%w+.-]+://") then
        url = base_url:gsub("/+$", "") .. (url:match("^[/?]") and url or "/" .. url)
    end
    if options.query and next(options.query) ~= nil then
        local front, fragment = url:match("^([^#]*)(.*)$")
        local mark = front:find("?", 1, true) and (front:match("[?&]$") and "" or "&") or "?"
        url = front .. mark .. encode_pairs(options.query, "query") .. fragment
    end
    return url
end

local function source_of(body, length)
    if length and not (length >= 0 and length <= 9e15 and length % 1 == 0) then
        misuse("http: option length: expected bytes, from 0")
    elseif sources.is(body) then
        if length then
            misuse("http: option length: this body knows its own")
        end
        return body
    elseif not sources.is_callable(body) then
        misuse("http: option body: a %s does not do: expected a string, an iterator or a source", type(body))
    end
    return sources.once(body, length)
end

---The body and the type that goes with it; or the source of one.
---@return string? body
---@return string? content_type
---@return moonloop.http.Source? source
local function body_of(options)
    local given = (options.json ~= nil and 1 or 0) + (options.form and 1 or 0) + (options.body and 1 or 0)
    if given > 1 then
        misuse("http: json, form and body exclude each other")
    elseif options.length and (not options.body or type(options.body) == "string") then
        misuse("http: option length is for a body that comes from an iterator")
    elseif options.json ~= nil then
        return json.encode(options.json), "application/json"
    elseif options.form then
        return encode_pairs(options.form, "form"), "application/x-www-form-urlencoded"
    elseif options.body and type(options.body) ~= "string" then
        return nil, nil, source_of(options.body, options.length)
    end
    return options.body
end

local EXPECT_SECONDS = 1

---Seconds that the body waits to be asked for; nil: none.
local function expect_of(expect, body, source)
    if expect == nil or expect == false then
        return nil
    elseif expect ~= true and not (expect > 0 and expect <= 1e6) then
        misuse("http: option expect: expected seconds, more than 0, or true for %d", EXPECT_SECONDS)
    end
    return (source or body and body ~= "") and (expect == true and EXPECT_SECONDS or expect) or nil
end

---Adds the fields of a table to `fields`; `seen` holds the names that are settled, in lower case.
local function add_fields(fields, headers, seen)
    local names = {}
    for name, value in pairs(headers or {}) do
        if type(name) ~= "string" then
            misuse("http: header %s: expected a name", tostring(name))
        end
        if not seen[name:lower()] then
            names[#names + 1] = name:lower()
            for _, each in ipairs(type(value) == "table" and value or { value }) do
                if type(each) ~= "string" and type(each) ~= "number" then
                    misuse("http: header %s: expected a string, got a %s", name, type(each))
                end
                fields[#fields + 1] = name
                fields[#fields + 1] = tostring(each)
            end
        end
    end
    for _, name in ipairs(names) do
        seen[name] = true
    end
end

local function split_userinfo(url)
    local parts, reason = core.parse(url)
    if not parts then
        misuse("http: %s: %s", url, reason)
    end
    if not parts.userinfo then
        return url, nil
    end
    local user, password = parts.userinfo:match("^([^:]*):?(.*)$")
    local front, rest = url:match("^(.-://)[^@]*@(.*)$")
    return front .. rest, { core.decode(user), core.decode(password) }
end

---@param options moonloop.http.Request
---@param client moonloop.http.ClientOptions
---@return moonloop.http.Wanted
function M.new(options, client)
    M.check_options(options, OPTIONS, "http")
    local url, url_auth = split_userinfo(full_url(options, client.base_url))
    local body, content_type, source = body_of(options)
    local fields, seen = {}, {}
    add_fields(fields, options.headers, seen)
    add_fields(fields, client.headers, seen)
    if content_type and not seen["content-type"] then
        add_fields(fields, { ["Content-Type"] = content_type }, seen)
    end
    if options.max_body and not (options.max_body >= 1 and options.max_body <= 9e15) then
        misuse("http: option max_body: expected bytes, from 1")
    end
    local auth = options.auth or url_auth
    if auth and not seen.authorization then
        if type(auth[1]) ~= "string" or type(auth[2]) ~= "string" or auth[1]:find(":", 1, true) then
            misuse("http: option auth: expected { user, password }, and no colon in the user")
        end
        add_fields(fields, { Authorization = "Basic " .. base64.encode(auth[1] .. ":" .. auth[2]) }, seen)
    end
    return {
        method = (options.method or "GET"):upper(), url = url, fields = fields, body = body,
        source = source, expect = expect_of(options.expect, body, source), max_body = options.max_body or DEFAULT_MAX_BODY, on_informational = options.on_informational,
    }
end

local SECRETS = { authorization = true, cookie = true, ["proxy-authorization"] = true, host = true }
local OF_BODY = { ["content-type"] = true, ["content-encoding"] = true, ["content-language"] = true,
    ["content-location"] = true }

local function fields_without(fields, ...)
    local kept = {}
    for i = 1, #fields, 2 do
        local is_out = false
        for _, names in ipairs({ ... }) do
            is_out = is_out or names[fields[i]:lower()]
        end
        if not is_out then
            kept[#kept + 1] = fields[i]
            kept[#kept + 1] = fields[i + 1]
        end
    end
    return kept
end

---The request that an answer redirects to (RFC 9110, 15.4), or nil. Credentials stay with their origin.
---@param wanted moonloop.http.Wanted
---@param res moonloop.http.Response
---@return moonloop.http.Wanted?
function M.redirected(wanted, res)
    local status = res.status
    if status ~= 301 and status ~= 302 and status ~= 303 and status ~= 307 and status ~= 308 then
        return nil
    end
    local location = res.headers.location
    if not location then
        return nil
    end
    local url = core.resolve(wanted.url, location) or location
    local parts, reason = core.parse(url)
    if parts and parts.scheme == "http+unix" and not core.same_origin(wanted.url, url) then
        parts, reason = nil, "a redirect may not lead to a Unix socket"
    end
    if not parts then
        res:close()
        errors.raise("protocol", "%s %s: redirected to %q: %s", wanted.method, wanted.url, url, reason)
    end
    if parts.userinfo then
        url = url:gsub("^(.-://)[^@]*@", "%1")
    end
    local is_dropped = wanted.method ~= "HEAD" and status == 303 or wanted.method == "POST" and status < 303
    if not is_dropped and wanted.source and not wanted.source.can_reopen then
        res:close()
        errors.raise("body", "%s %s: redirected with %d to %s, and the body, which comes from an iterator that has begun, "
            .. "cannot be sent again (http.rewindable gives one that can)", wanted.method, wanted.url, status, url)
    end
    local is_away = not core.same_origin(wanted.url, url)
    return {
        method = is_dropped and "GET" or wanted.method, url = url, body = not is_dropped and wanted.body or nil,
        source = not is_dropped and wanted.source or nil, expect = not is_dropped and wanted.expect or nil,
        fields = fields_without(wanted.fields, is_dropped and OF_BODY or {}, is_away and SECRETS or {}),
        max_body = wanted.max_body, on_informational = wanted.on_informational,
    }
end

return M
