--- Option names that other clients (requests, httpx, undici, axios, got, curl) have, and what stands for them here.

local M = {}

---@type table<string, any> the options of a request, filled in by request.lua
M.of_requests = {}

-- By name, in small letters without _ and -: the option here, with what it wants where that differs.
local ELSEWHERE = {
    params = "query", searchparams = "query", querystring = "query",
    data = "form for fields, body for bytes", content = "body", payload = "body", text = "body",
    files = "multipart, with http.file(path)", formdata = "multipart", file = "body, with http.file(path)",
    header = "headers",
    followredirects = "redirects, a number or false", allowredirects = "redirects, a number or false",
    followredirect = "redirects, a number or false", followlocation = "redirects, a number or false",
    maxredirects = "redirects", maxredirections = "redirects", redirect = "redirects",
    connecttimeout = "timeout, one for everything", readtimeout = "timeout, one for everything",
    headerstimeout = "timeout, one for everything", bodytimeout = "timeout, one for everything",
    totaltimeout = "timeout", deadline = "timeout",
    cookie = "cookies, a jar from http.cookies()", cookiejar = "cookies, a jar from http.cookies()",
    jar = "cookies, a jar from http.cookies()",
    username = "auth = { user, password }", password = "auth = { user, password }",
    user = "auth = { user, password }", basicauth = "auth = { user, password }",
    token = "bearer", bearertoken = "bearer", bearerauth = "bearer",
    retry = "retries", maxretries = "retries", attempts = "retries",
    proxies = "proxy, one URL", httpproxy = "proxy", httpsproxy = "proxy", agent = "proxy",
    useragent = 'headers = { ["User-Agent"] = ... }', host = "headers = { Host = ... }",
    contenttype = 'headers = { ["Content-Type"] = ... }', accept = "headers = { Accept = ... }",
    compressed = "decode", compress = "decode", decompress = "decode", gzip = "decode", autodecompress = "decode",
    maxresponsesize = "max_body", maxsize = "max_body", maxcontentlength = "max_body", limit = "max_body",
    verifyssl = "verify", sslverify = "verify", rejectunauthorized = "verify = false", insecure = "verify = false",
    ssl = "verify", ca = "ca_file", cafile = "ca_file", cacert = "ca_file", capath = "ca_file",
    cert = "cert_file", certfile = "cert_file", key = "key_file", keyfile = "key_file",
    base = "base_url", baseurl = "base_url", prefix = "base_url", prefixurl = "base_url",
    maxconnections = "connections", poolsize = "connections", pool = "connections", limits = "connections",
    keepalive = "idle, in seconds", keepalivetimeout = "idle", keepaliveexpiry = "idle", idletimeout = "idle",
    pooltimeout = "queue_timeout", maxqueue = "queue",
    resolver = "nameservers", dns = "nameservers", trustenv = "proxy = false",
    onheaders = "on_informational", onuploadprogress = "on_upload", ondownloadprogress = "on_progress",
    progress = "on_progress",
}

-- Names that ask for what needs no option.
local NOT_NEEDED = {
    stream = "an answer is not read before body(), chunks() or save() do so",
    signal = "cancelling the task, or moonloop.timeout, ends the request",
    throwonerror = "any status is an answer: look at res.ok",
    raiseforstatus = "any status is an answer: look at res.ok",
    http2 = "requests are HTTP/1.1",
}

-- What a client has for all of its requests, and a request cannot say.
local OF_CLIENTS = {
    base_url = true, ca_file = true, cert_file = true, connections = true, idle = true, key_file = true,
    nameservers = true, queue = true, queue_timeout = true, verify = true,
}

---What to say of an option that is unknown where it stands; nil: nothing better than the list of those there are.
---@param what string whose option it is: "http", of a request, or "http.client"
---@param name any
---@param known table<string, any> the options there
---@return string?
function M.hint(what, name, known)
    if type(name) ~= "string" or what ~= "http" and what ~= "http.client" then
        return nil
    end
    local plain = name:lower():gsub("[_-]", "")
    if NOT_NEEDED[plain] then
        return ("%s: unknown option %s: %s"):format(what, name, NOT_NEEDED[plain])
    end
    local here = ELSEWHERE[plain] or name
    local first = here:match("^[%w_]+")
    if known[first] then
        return ("%s: unknown option %s; here it is %s"):format(what, name, here)
    elseif OF_CLIENTS[first] then
        return ("%s: unknown option %s; a client has it: http.client({ %s = ... })"):format(what, name, first)
    elseif what == "http.client" and (ELSEWHERE[plain] or M.of_requests[first]) then
        return ("%s: unknown option %s; a request has it, not a client: %s"):format(what, name, here)
    end
    return nil
end

return M
