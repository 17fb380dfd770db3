--- From the flags of `moonloop fetch` to a request and a client. Whatever is wrong is a fault, raised before anything
--- is sent.

local core = require("moonloop.core.http")
local fault = require("moonloop.cli.fault")
local http = require("moonloop.http")

local M = {}

M.EXIT_URL, M.EXIT_READ = 3, 26

local FORM = "application/x-www-form-urlencoded"

---@param path string "-": standard input
---@return string
local function read(path, flag)
    local file, reason = io.stdin, nil
    if path ~= "-" then
        file, reason = io.open(path, "rb")
    end
    local bytes
    if file then
        bytes, reason = file:read("*a")
        if path ~= "-" then
            file:close()
        end
    end
    if not bytes then
        fault.raise(M.EXIT_READ, "fetch: %s: cannot read %s", flag,
            (tostring(reason):find(path, 1, true) and "" or path .. ": ") .. tostring(reason))
    end
    return bytes
end

---The URL that somebody means who leaves parts of it out.
---@param text string
---@return string
function M.complete_url(text)
    if text:match("^:%d") then
        text = "localhost" .. text
    end
    local scheme, rest = text:match("^([hH][tT][tT][pP][sS]?):/?([^/].*)$")
    if scheme and not rest:match("^%d+$") and not rest:match("^%d+/") then
        fault.raise(M.EXIT_URL, "fetch: %s: two slashes follow the scheme: %s://%s", text, scheme:lower(), rest)
    end
    if text:match("^//") then
        text = "http:" .. text
    elseif text:match("^/") then
        fault.raise(M.EXIT_URL, "fetch: %s: the host is missing; for this machine: http://localhost:8080%s", text, text)
    elseif not text:match("^%a[%w+.-]*://") then
        text = "http://" .. text
    end
    return text
end

---`url` with the Unix socket at `path` for its host, and the host that it names.
local function through_socket(url, path)
    local host, rest = url:match("^%a[%w+.-]*://([^/?#]*)(.*)$")
    if url:match("^https:") then
        fault.raise(2, "fetch: --unix-socket: TLS is not spoken on Unix sockets; write http://")
    end
    return "http+unix://" .. core.encode(path):gsub("+", "%%20") .. rest, host:match("([^@]*)$")
end

---Raises a fault for what is no URL.
local function check_url(url, shown)
    local parts, reason = core.parse(url)
    if not parts and not url:match("^[hH][tT][tT][pP]://[uU][nN][iI][xX]:/") then
        fault.raise(M.EXIT_URL, "fetch: %s: %s", shown, reason)
    end
end

local function parse_header(text)
    local name, value = text:match("^([^:]*):%s*(.-)%s*$")
    if not name then
        name, value = text:match("^([^:;]+);%s*$"), ""
    elseif value == "" then
        name = nil
    end
    if not name or name == "" then
        fault.raise(2, "fetch: -H %s: expected 'NAME: VALUE', or 'NAME;' for an empty field", text)
    end
    return name, value
end

local function add_header(headers, name, value)
    for known, before in pairs(headers) do
        if known:lower() == name:lower() then
            headers[known] = type(before) == "table" and before or { before }
            table.insert(headers[known], value)
            return
        end
    end
    headers[name] = value
end

local function has_header(headers, wanted)
    for name in pairs(headers) do
        if name:lower() == wanted then
            return true
        end
    end
    return false
end

local function headers_of(flags)
    local headers = {}
    for _, text in ipairs(flags.cookie or {}) do
        if text ~= "" and not text:find("=", 1, true) then
            fault.raise(2, "fetch: -b %s: expected 'NAME=VALUE'; a file of cookies is not read", text)
        end
    end
    for _, text in ipairs(flags.header or {}) do
        add_header(headers, parse_header(text))
    end
    local fields = {
        ["User-Agent"] = flags.user_agent, Referer = flags.referer,
        Cookie = flags.cookie and flags.cookie[1] and table.concat(flags.cookie, "; "),
    }
    for name, value in pairs(fields) do
        if value and not has_header(headers, name:lower()) then
            headers[name] = value
        end
    end
    return headers
end

local function data_of(text, flag, keeps_lines)
    local path = text:match("^@(.+)$")
    if not path then
        return text
    end
    local bytes = read(path, flag)
    return keeps_lines and bytes or (bytes:gsub("[\r\n%z]", ""))
end

local function encoded_data(text)
    local name, path = text:match("^([^=@]*)@(.+)$")
    local value = path and read(path, "--data-urlencode")
    if not path then
        name, value = text:match("^([^=]*)=(.*)$")
        if not name then
            name, value = "", text
        end
    end
    return (name ~= "" and name .. "=" or "") .. core.encode(value)
end

---What -d and its sisters give together, or nil.
local function form_of(flags)
    local parts = {}
    for _, text in ipairs(flags.data or {}) do
        parts[#parts + 1] = data_of(text, "-d")
    end
    for _, text in ipairs(flags.data_binary or {}) do
        parts[#parts + 1] = data_of(text, "--data-binary", true)
    end
    for _, text in ipairs(flags.data_raw or {}) do
        parts[#parts + 1] = text
    end
    for _, text in ipairs(flags.data_urlencode or {}) do
        parts[#parts + 1] = encoded_data(text)
    end
    return parts[1] and table.concat(parts, "&")
end

local function add_query(url, query)
    local front, fragment = url:match("^([^#]*)(.*)$")
    return front .. (front:find("?", 1, true) and "&" or "?") .. query .. fragment
end

---A file that can be read, as a source; standard input as what it gives.
local function file_of(path, flag, options)
    if path == "-" then
        return http.part(read("-", flag), options)
    end
    local file, reason = io.open(path, "rb")
    if file then
        local _, why = file:read(1) -- of a directory
        file:close()
        reason = why and path .. ": " .. why
    end
    if reason then
        fault.raise(M.EXIT_READ, "fetch: %s: cannot read %s", flag, reason)
    end
    return http.file(path, options)
end

---What follows the value of -F: ;type=TEXT;filename=NAME.
local function part_options(text)
    local options, rest = {}, text
    while true do
        local front, name, value = rest:match("^(.*);%s*(%l+)=([^;]*)$")
        if name ~= "type" and name ~= "filename" then
            return rest, next(options) and options or nil
        end
        options[name == "filename" and "name" or "type"] = value:match('^"(.*)"$') or value
        rest = front
    end
end

---Parts of a multipart form, as the client takes them.
local function multipart_of(flags)
    local parts = {}
    for _, text in ipairs(flags.form or {}) do
        local name, value = text:match("^([^=]+)=(.*)$")
        if not name then
            fault.raise(2, "fetch: -F %s: expected NAME=VALUE or NAME=@FILE", text)
        end
        local options
        value, options = part_options(value)
        local mark, path = value:match("^([@<])(.+)$")
        if mark == "<" then
            value = http.part(read(path, "-F"), options)
        elseif mark then
            value = file_of(path, "-F", options)
        elseif options then
            value = http.part(value, options)
        end
        parts[#parts + 1] = { name, value }
    end
    return parts[1] and parts
end

---Raises when two of these are given.
local function exclude(flags, ...)
    local first
    for _, each in ipairs({ ... }) do
        local value = flags[each[1]]
        if value and not (type(value) == "table" and not value[1]) then
            if first and first ~= each[2] then
                fault.raise(2, "fetch: %s and %s exclude each other", first, each[2])
            end
            first = each[2]
        end
    end
end

local function number_of(flags, name, flag, least)
    local text = flags[name]
    local value = tonumber(text)
    if text and not (value and value >= least and value < 1e9) then
        fault.raise(2, "fetch: %s: expected a number from %d, got %s", flag, least, text)
    end
    return value
end

---Body, method and type that follow from the flags.
local function add_body(flags, request)
    local form = form_of(flags)
    local method
    if flags.get then
        request.url = form and add_query(request.url, form) or request.url
    elseif flags.json then
        request.body, method = data_of(flags.json, "--json", true), "POST"
        for _, name in ipairs({ "Content-Type", "Accept" }) do
            if not has_header(request.headers, name:lower()) then
                request.headers[name] = "application/json"
            end
        end
    elseif form then
        request.body, method = form, "POST"
        if not has_header(request.headers, "content-type") then
            request.headers["Content-Type"] = FORM
        end
    elseif flags.upload_file then
        request.body, method = flags.upload_file == "-" and read("-", "-T") or file_of(flags.upload_file, "-T"), "PUT"
    end
    local parts = multipart_of(flags)
    if parts then
        request.multipart, method = parts, "POST"
    end
    request.method = flags.request or flags.head and "HEAD" or method
end

---@param flags table as the parser gives them
---@return moonloop.http.Request
function M.request(flags)
    exclude(flags, { "data", "-d" }, { "data_binary", "-d" }, { "data_raw", "-d" }, { "data_urlencode", "-d" },
        { "json", "--json" }, { "form", "-F" }, { "upload_file", "-T" }, { not flags.get and "head", "-I" })
    exclude(flags, { "output", "-o" }, { "remote_name", "-O" })
    exclude(flags, { "no_redirect", "--no-redirect" }, { "redirects", "--redirects" })
    local request = { url = M.complete_url(flags.url), headers = headers_of(flags) }
    if flags.unix_socket then
        local host
        request.url, host = through_socket(request.url, flags.unix_socket)
        if not has_header(request.headers, "host") then
            request.headers.Host = host
        end
    end
    check_url(request.url, flags.url)
    local redirects = number_of(flags, "redirects", "--redirects", 0)
    request.redirects = flags.no_redirect and 0 or redirects or 5
    local retries = number_of(flags, "retry", "--retry", 0)
    request.retries = retries and retries > 0 and { attempts = retries + 1 } or nil
    local seconds = number_of(flags, "max_time", "-m", 0)
    request.timeout = seconds and seconds > 0 and seconds or false
    if flags.user then
        local user, password = flags.user:match("^([^:]*):(.*)$")
        if not user then
            fault.raise(2, "fetch: -u: expected USER:PASSWORD; for an empty password, USER:")
        end
        request.auth = { user, password }
    end
    add_body(flags, request)
    return request
end

---@param flags table
---@return moonloop.http.ClientOptions
function M.client(flags)
    for flag, name in pairs({ ["--cacert"] = "cacert", ["--cert"] = "cert", ["--key"] = "key" }) do
        if flags[name] then
            read(flags[name], flag)
        end
    end
    local proxy = flags.proxy
    if proxy == "" then
        proxy = false
    elseif proxy then
        local _, reason = core.proxy(proxy)
        if reason then
            fault.raise(2, "fetch: --proxy: %s", reason)
        end
    end
    return {
        verify = not flags.insecure, ca_file = flags.cacert, cert_file = flags.cert, key_file = flags.key,
        proxy = proxy,
    }
end

return M
