--- From the options of a request to what is sent: URL, header fields, body.

local core = require("moonloop.core.http")
local auth = require("moonloop.http.auth")
local bodies = require("moonloop.http.body")
local cookies = require("moonloop.http.cookies")
local familiar = require("moonloop.http.familiar")
local form = require("moonloop.http.form")
local options_of = require("moonloop.http.options")
local proxies = require("moonloop.http.proxies")
local retry = require("moonloop.http.retry")

local misuse = options_of.misuse

local M = {}

---@class moonloop.http.Wanted
---@field method string
---@field url string without user and password
---@field fields string[] name, value, name, value, ...
---@field body? string
---@field source? moonloop.http.Source in place of the body
---@field expect? number seconds that the body waits for the server to ask for it
---@field max_body integer
---@field decoding? { is_wanted: boolean, max_ratio: number } when it is not as it is by default
---@field on_progress? fun(done: integer, total?: integer)
---@field proxies? moonloop.http.Proxies
---@field redirects integer
---@field jar? moonloop.http.Jar
---@field retries? moonloop.http.RetryPolicy
---@field on_upload? fun(done: integer, total?: integer)
---@field on_informational? fun(status: integer, headers: moonloop.http.Headers)
---@field upgrade? string

local NUMBER_OR_FALSE = { number = true, boolean = true }
local OPTIONS = {
    method = "string", url = "string", headers = "table", query = "table", timeout = NUMBER_OR_FALSE,
    json = "any", form = "table", multipart = "table", length = "number",
    body = { string = true, ["function"] = true, table = true },
    expect = NUMBER_OR_FALSE, redirects = NUMBER_OR_FALSE, auth = "table", bearer = "string",
    cookies = { table = true, boolean = true }, retries = { number = true, boolean = true, table = true },
    max_body = "number", on_informational = "function", decode = "boolean", max_ratio = NUMBER_OR_FALSE,
    on_progress = "function", on_upload = "function", upgrade = "string", proxy = { string = true, boolean = true },
}
familiar.of_requests = OPTIONS
local DEFAULT_MAX_BODY = 64 * 1024 * 1024
local SHOWN_BYTES_MAX = 200
local DEFAULT_MAX_RATIO, NO_MAX_RATIO = 1000, 1e15
local CODINGS = "gzip, deflate, br, zstd" -- core/http/decoder.c

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
        url = front .. mark .. form.encode(options.query, "query") .. fragment
    end
    return url
end

---Adds the fields of a table to `fields`; `seen` holds the names that are settled, in lower case.
local function add_fields(fields, headers, seen)
    if not headers then
        return
    end
    local names = {}
    for name, value in pairs(headers) do
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
                fields[#fields + 1] = type(each) == "number" and options_of.number_text(each) or each
            end
        end
    end
    for _, name in ipairs(names) do
        seen[name] = true
    end
end

---nginx's way to write a Unix socket, http://unix:/run/app.sock:/path, as the one that a URL can have.
local function from_nginx(url)
    local socket, rest = url:match("^[hH][tT][tT][pP]://[uU][nN][iI][xX]:(/[^?#]-):([/?#].*)$")
    if not socket then
        socket, rest = url:match("^[hH][tT][tT][pP]://[uU][nN][iI][xX]:(/[^?#]-):()$"), ""
    end
    return socket and "http+unix://" .. core.encode(socket):gsub("+", "%%20") .. rest
end

---A URL that is none as a message may have it: nobody's password, no control characters, not all of a long one.
local function shown(url)
    local front, rest = url:match("^([^/?#]*//)(.*)$")
    local authority = (rest or url):match("^[^/?#]*")
    local text = (front or "") .. authority:gsub("^.*@", "") .. (rest or url):sub(#authority + 1)
    text = text:gsub("%c", function(char) return ("\\x%02x"):format(char:byte()) end)
    return #text > SHOWN_BYTES_MAX and text:sub(1, SHOWN_BYTES_MAX) .. "..." or text
end

local function split_userinfo(url)
    local parts, reason = core.parse(url)
    local rewritten = not parts and from_nginx(url)
    if rewritten then
        url = rewritten
        parts, reason = core.parse(url)
    end
    if not parts then
        misuse("http: %s: %s", shown(url), reason)
    end
    if not parts.userinfo then
        return url, nil
    end
    local user, password = parts.userinfo:match("^([^:]*):?(.*)$")
    local front = url:match("^.-://")
    return front .. url:sub(#front + #parts.userinfo + 2), { core.decode(user), core.decode(password) }
end

local DEFAULT_REDIRECTS = 5

---How many redirects are followed, of the options of a request or a client.
---@param redirects? integer|false
---@return integer?
function M.redirects(redirects)
    if redirects == true or redirects and not (redirects >= 0 and redirects % 1 == 0) then
        misuse("http: option redirects: expected how many to follow, from 0, or false")
    end
    return redirects == false and 0 or redirects
end

---The jar of a request or a client.
---@param jar? moonloop.http.Jar|false
---@return moonloop.http.Jar?
function M.jar(jar)
    if jar and not cookies.is(jar) then
        misuse("http: option cookies: expected a jar from http.cookies(), or false")
    end
    return jar or nil
end

---Whether what a client sends of its own to every URL may go there: its credentials stay at its base_url.
local function may_know(client, url)
    return not client.base_url or core.same_origin(client.base_url, url)
end

---The fields of a request: its own, then those of the client that it does not have.
local function fields_of(options, client, url, url_auth, content_type)
    local fields, seen = {}, {}
    add_fields(fields, options.headers, seen)
    if options.multipart and seen["content-type"] then
        misuse("http: a multipart body says its own Content-Type, with a boundary: leave the header out")
    elseif options.multipart then
        add_fields(fields, { ["Content-Type"] = content_type }, seen)
    end
    local credentials = (options.auth or options.bearer) and auth.of(options)
        or url_auth and auth.of({ auth = url_auth })
    if credentials and not seen.authorization then
        add_fields(fields, { Authorization = credentials }, seen)
    end
    if client.headers then
        add_fields(fields, client.headers, seen)
    end
    if client.credentials and not seen.authorization and may_know(client, url) then
        add_fields(fields, { Authorization = client.credentials }, seen)
    end
    if content_type and not seen["content-type"] then
        add_fields(fields, { ["Content-Type"] = content_type }, seen)
    end
    if seen.upgrade then
        misuse("http: the header Upgrade cannot be set; the option upgrade offers a protocol")
    elseif options.upgrade then
        add_fields(fields, { Upgrade = options.upgrade }, seen)
    end
    -- A part of what is coded cannot be decoded, and the length that HEAD asks for is that of the body as it is.
    local is_as_it_is = seen.range or options.decode == false or (options.method or "GET"):upper() == "HEAD"
    if not (seen["accept-encoding"] or is_as_it_is) then
        fields[#fields + 1], fields[#fields + 2] = "Accept-Encoding", CODINGS
    end
    return fields
end

---What is to be done with the codings of the answer; nil: as by default.
local function decoding_of(options)
    local ratio = options.max_ratio
    if ratio == true or ratio and not (ratio >= 1 and ratio <= 1e15) then
        misuse("http: option max_ratio: expected a number from 1, or false for no limit")
    elseif options.decode == false or ratio ~= nil then
        return { is_wanted = options.decode ~= false,
            max_ratio = ratio or ratio == false and NO_MAX_RATIO or DEFAULT_MAX_RATIO }
    end
    return nil
end

---What a request takes over from its client.
local function inherit(wanted, client)
    wanted.redirects = client.redirects or DEFAULT_REDIRECTS
    if client.jar then
        wanted.jar = client.jar
    end
    if client.retries then
        wanted.retries = client.retries
    end
    if client.proxies then
        wanted.proxies = client.proxies
    end
end

---The options that most requests do without; the type that goes with the body.
---@return string? content_type
local function add_rare(wanted, options, client)
    local content_type
    wanted.body, content_type, wanted.source = bodies.of(options)
    if options.max_body and not (options.max_body >= 1 and options.max_body <= 9e15) then
        misuse("http: option max_body: expected bytes, from 1")
    end
    wanted.max_body = options.max_body or DEFAULT_MAX_BODY
    wanted.expect = bodies.expect(options.expect, wanted.body, wanted.source)
    wanted.redirects = M.redirects(options.redirects) or wanted.redirects
    if options.cookies ~= nil then
        wanted.jar = M.jar(options.cookies)
    end
    if options.retries ~= nil then
        wanted.retries = retry.policy(options.retries)
    end
    wanted.proxies = proxies.of_option(options.proxy, client.proxies)
    wanted.on_informational, wanted.upgrade = options.on_informational, options.upgrade
    wanted.decoding, wanted.on_progress = decoding_of(options), options.on_progress
    wanted.on_upload = options.on_upload
    return content_type
end

---Whether there are other options than those that add_rare does not look at.
local function has_rare(options, count)
    return count > (options.method and 1 or 0) + (options.url and 1 or 0) + (options.headers and 1 or 0)
        + (options.query and 1 or 0) + (options.timeout ~= nil and 1 or 0)
end

---@param options moonloop.http.Request
---@param client moonloop.http.ClientOptions
---@return moonloop.http.Wanted
function M.new(options, client)
    local count = options_of.check(options, OPTIONS, "http")
    local url, url_auth = split_userinfo(full_url(options, client.base_url))
    local wanted = { method = (options.method or "GET"):upper(), url = url, fields = false, redirects = false,
        max_body = DEFAULT_MAX_BODY }
    inherit(wanted, client)
    local content_type = has_rare(options, count) and add_rare(wanted, options, client) or nil
    wanted.fields = fields_of(options, client, url, url_auth, content_type)
    return wanted
end

return M
