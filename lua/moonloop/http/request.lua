--- From the options of a request to what is sent: URL, header fields, body; and what a redirect makes of it.

local core = require("moonloop.core.http")
local base64 = require("moonloop.util.base64")
local errors = require("moonloop.util.errors")
local json = require("moonloop.json")

local M = {}

---@class moonloop.http.Wanted
---@field method string
---@field url string without user and password
---@field fields string[] name, value, name, value, ...
---@field body? string
---@field max_body integer

local OPTIONS = {
    method = "string", url = "string", headers = "table", query = "table", timeout = { number = true, boolean = true },
    json = "any", form = "table", body = "string", redirects = "number", auth = "table", max_body = "number",
}
local DEFAULT_MAX_BODY = 64 * 1024 * 1024

---Raises, as the caller's mistake, for an option that does not exist or has the wrong type.
---@param options table
---@param known table<string, string|table<string, boolean>>
---@param what string
---@param level integer
function M.check_options(options, known, what, level)
    if type(options) ~= "table" then
        error(("%s: expected a table of options, got a %s"):format(what, type(options)), level)
    end
    for name, value in pairs(options) do
        local expected = known[name]
        if not expected then
            local names = {}
            for each in pairs(known) do
                names[#names + 1] = each
            end
            table.sort(names)
            error(("%s: unknown option %q; there are %s"):format(what, tostring(name), table.concat(names, ", ")),
                level)
        end
        local kind = type(value)
        local is_good = expected == "any" or expected == kind or type(expected) == "table" and expected[kind]
        if not is_good then
            error(("%s: option %s: a %s does not do"):format(what, name, kind), level)
        end
    end
    local timeout = options.timeout
    if timeout == true or type(timeout) == "number" and not (timeout > 0) then
        error(("%s: option timeout: expected seconds, more than 0, or false"):format(what), level)
    end
end

---Adds `name=value` pairs of a table, sorted, so that equal tables give equal URLs.
local function encode_pairs(map, what, level)
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
            error(("http: %s %s: cannot encode a %s"):format(what, tostring(name), kind), level + 2)
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

local function full_url(options, base_url, level)
    local url = options.url
    if type(url) ~= "string" then
        error(("http: expected a URL, got a %s"):format(type(url)), level + 1)
    end
    if base_url and not url:match("^[%w+.-]+://") then
        url = base_url:gsub("/+$", "") .. (url:match("^[/?]") and url or "/" .. url)
    end
    if options.query and next(options.query) ~= nil then
        local front, fragment = url:match("^([^#]*)(.*)$")
        local mark = front:find("?", 1, true) and (front:match("[?&]$") and "" or "&") or "?"
        url = front .. mark .. encode_pairs(options.query, "query", level + 1) .. fragment
    end
    return url
end

---The body and the type that goes with it.
local function body_of(options, level)
    local given = (options.json ~= nil and 1 or 0) + (options.form and 1 or 0) + (options.body and 1 or 0)
    if given > 1 then
        error("http: json, form and body exclude each other", level + 1)
    elseif options.json ~= nil then
        return json.encode(options.json), "application/json"
    elseif options.form then
        return encode_pairs(options.form, "form", level + 1), "application/x-www-form-urlencoded"
    end
    return options.body
end

---Adds the fields of a table to `fields`; `seen` holds the names that are settled, in lower case.
local function add_fields(fields, headers, seen, level)
    local names = {}
    for name, value in pairs(headers or {}) do
        if type(name) ~= "string" then
            error(("http: header %s: expected a name"):format(tostring(name)), level + 1)
        end
        if not seen[name:lower()] then
            names[#names + 1] = name:lower()
            for _, each in ipairs(type(value) == "table" and value or { value }) do
                if type(each) ~= "string" and type(each) ~= "number" then
                    error(("http: header %s: expected a string, got a %s"):format(name, type(each)), level + 1)
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

local function split_userinfo(url, level)
    local parts, reason = core.parse(url)
    if not parts then
        error(("http: %s: %s"):format(url, reason), level + 1)
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
---@param level integer of the caller to blame
---@return moonloop.http.Wanted
function M.new(options, client, level)
    level = level + 1
    M.check_options(options, OPTIONS, "http", level + 1)
    local url, url_auth = split_userinfo(full_url(options, client.base_url, level), level)
    local body, content_type = body_of(options, level)
    local fields, seen = {}, {}
    add_fields(fields, options.headers, seen, level)
    add_fields(fields, client.headers, seen, level)
    if content_type and not seen["content-type"] then
        add_fields(fields, { ["Content-Type"] = content_type }, seen, level)
    end
    local auth = options.auth or url_auth
    if auth and not seen.authorization then
        if type(auth[1]) ~= "string" or type(auth[2]) ~= "string" or auth[1]:find(":", 1, true) then
            error("http: option auth: expected { user, password }, and no colon in the user", level)
        end
        add_fields(fields, { Authorization = "Basic " .. base64.encode(auth[1] .. ":" .. auth[2]) }, seen, level)
    end
    return {
        method = (options.method or "GET"):upper(), url = url, fields = fields, body = body,
        max_body = options.max_body or DEFAULT_MAX_BODY,
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
    local is_away = not core.same_origin(wanted.url, url)
    return {
        method = is_dropped and "GET" or wanted.method, url = url, body = not is_dropped and wanted.body or nil,
        fields = fields_without(wanted.fields, is_dropped and OF_BODY or {}, is_away and SECRETS or {}),
        max_body = wanted.max_body,
    }
end

return M
