--- `req`: the request as a handler sees it. Each part is made when it is first asked for and kept.

local core = require("moonloop.core.request")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")
local json = require("moonloop.json")
local serial = require("moonloop.util.serial")

local settle = errors.settle

---@class moonloop.TlsSession
---@field version string "TLSv1.3"
---@field cipher string
---@field protocol? string "http/1.1", when the client has offered some
---@field server_name? string the host that the client has named in its handshake
---@field resumed boolean whether an earlier session was taken up again

---@class moonloop.ClientCertificate
---@field subject string "CN=Ann,O=Example"
---@field common_name? string
---@field issuer string
---@field serial string hexadecimal
---@field fingerprint string SHA-256, hexadecimal
---@field not_before number seconds since 1970
---@field not_after number
---@field names string[] alternative names: hosts, addresses, mail addresses, URIs

---@class moonloop.Request
---@field method string "GET"
---@field path string percent-decoded, without the query
---@field target string as it came: path and query
---@field query table<string, string> the first value of each name
---@field params table<string, string|number>
---@field headers table<string, string> any case; several fields of a name are joined by ", "
---@field cookies table<string, string>
---@field host string? the Host field
---@field scheme "http"|"https"
---@field tls? moonloop.TlsSession nil: the connection has none, or a proxy in front has it
---@field client_certificate? moonloop.ClientCertificate nil: the client has shown none
---@field remote_addr string the client's address, "unix" for a Unix socket
---@field id string what X-Request-Id says
---@field app string
---@field route string the pattern that matched, with the mount
---@field context table free for middleware
---@field deadline number? on the clock of moonloop.now
local Request = { __name = "moonloop.Request" }

local methods, getters = {}, {}

-- The metatable of req.headers; core.headers puts it on.
Request.any_case = { __index = function(headers, name)
    return type(name) == "string" and rawget(headers, name:lower()) or nil
end }

for _, name in ipairs({ "method", "path", "target", "query", "params", "headers", "cookies", "id", "app", "route",
    "host", "scheme" }) do
    getters[name] = core[name]
end
getters.remote_addr = core.peer

function getters.tls(token)
    local session = token and core.tls(token) -- a copy has it already, or there is none
    if session then
        session.resumed = session.resumed == "true"
    end
    return session or nil
end

function getters.client_certificate(token)
    local certificate = token and core.client_certificate(token)
    if certificate then
        certificate.not_before = tonumber(certificate.not_before)
        certificate.not_after = tonumber(certificate.not_after)
    end
    return certificate or nil
end

function getters.context()
    return {}
end

-- What changes while the request is answered is not kept.
local live = {
    deadline = core.deadline,
    cancelled = function(token)
        if not token then -- a copy, on an offload thread
            return require("moonloop.core.thread").is_cancelled()
        end
        return not pcall(core.id, token)
    end,
}

function Request.__index(req, key)
    local method = methods[key]
    if method then
        return method
    end
    local getter = getters[key]
    if getter then
        local value = getter(rawget(req, 1))
        rawset(req, key, value)
        return value
    end
    getter = live[key]
    return getter and getter(rawget(req, 1))
end

local FAILURES = {
    too_large = { "too_large", 413, "the body is too large" },
    malformed = { "protocol", 400, "the body is malformed" },
    timed_out = { "timeout", 408, "the body took too long" },
    no_memory = { "failed", 503, "the server has no memory for the body" },
}

local function check_body(state)
    local failure = FAILURES[state]
    if failure then
        error(errors.new(failure[1], failure[3], { status = failure[2] }), 0)
    end
    return state
end

---All values of a query parameter, in order.
---@param name string
---@return string[]
function methods:query_all(name)
    local pairs_list, values = core.pairs(rawget(self, "raw_query") or core.raw_query(self[1])), {}
    for i = 1, #pairs_list, 2 do
        if pairs_list[i] == name then
            values[#values + 1] = pairs_list[i + 1]
        end
    end
    return values
end

---The whole body; waits until it is in. Raises errors with `status` 413, 408 or 400, which answer by
---themselves when nobody catches them.
---@return string
function methods:body()
    local body = rawget(self, "whole_body")
    if body then
        return body
    end
    local token, parts = self[1], nil
    if not token then
        error("req:body() was not read before the request was sent to another VM: read it there first", 0)
    end
    while check_body(core.body_state(token)) == "coming" do
        settle(core.wait_body(token))
        parts = parts or {}
        parts[#parts + 1] = core.take_body(token) -- what nobody takes holds the client back
    end
    body = core.take_body(token)
    if parts then
        body = table.concat(parts) .. body
    end
    rawset(self, "whole_body", body)
    return body
end

---The body as it comes, for bodies that should not be held in memory.
---@return fun(): string? chunks
function methods:chunks()
    local token = self[1]
    if not token then -- a copy, on an offload thread: it is all there
        local whole = self:body()
        return function()
            local body = whole
            whole = nil
            return body ~= "" and body or nil
        end
    end
    return function()
        while core.body_length(token) == 0 do
            if check_body(core.body_state(token)) == "done" then
                return nil
            end
            settle(core.wait_body(token))
        end
        return core.take_body(token)
    end
end

local function bad_request(message)
    error(errors.new("bad_request", message, { status = 400 }), 0)
end

local function field_of(req, name)
    local token = req[1]
    if token then
        return core.header(token, name)
    end
    return req.headers[name]
end

---Nobody here undoes a coding: what has to be understood must come without one (RFC 9110, 15.5.16).
local function check_coding(req)
    local coding = field_of(req, "content-encoding")
    if coding and coding ~= "" and coding:lower() ~= "identity" then
        error(errors.new("unsupported", ("the body is coded (%s), which is not undone here: send it without")
            :format(coding), { status = 415, answer_headers = { ["Accept-Encoding"] = "identity" } }), 0)
    end
end

---The body as JSON. Malformed JSON is answered 400 with the place, a body with a Content-Encoding 415, unless caught.
---@return any
function methods:json()
    check_coding(self)
    local ok, value = pcall(json.decode, self:body())
    if not ok then
        errors.pass_out_of_memory(value)
        bad_request(errors.message(value))
    end
    return value
end

---The body as an urlencoded form: the first value of each name. Another type or a coded body is answered 415.
---@return table<string, string> fields
function methods:form()
    check_coding(self)
    local kind = (field_of(self, "content-type") or ""):match("^%s*([^;%s]*)"):lower()
    if kind ~= "application/x-www-form-urlencoded" then
        error(errors.new("unsupported", ("expected an urlencoded form, got content type %q"):format(kind),
            { status = 415 }), 0)
    end
    local list, fields = core.pairs(self:body()), {}
    for i = 1, #list, 2 do
        if fields[list[i]] == nil then
            fields[list[i]] = list[i + 1]
        end
    end
    return fields
end

---Takes the connection over: answers 101, then bytes go both ways. It ends with the handler; the timeout of the
---request does not count for it. A client that did not offer the protocol is answered 426.
---@param protocol string what the client has offered in Upgrade: "websocket"
---@param headers? table<string, string|string[]> more header fields of the 101
---@return moonloop.http.Connection
function methods:upgrade(protocol, headers)
    if type(protocol) ~= "string" then
        error("req:upgrade: expected a protocol, got a " .. type(protocol), 2)
    elseif not self[1] then
        error("req:upgrade: a handler that runs on a thread cannot take the connection over", 2)
    end
    if core.body_state(self[1]) ~= "done" then
        self:body() -- RFC 9110, 7.8: the request comes whole first
    end
    self.remote_addr = self.remote_addr -- asked for while there is a peer
    local duplex, why = core.upgrade(self[1], protocol, headers)
    if not duplex then
        error(errors.new("abort", "req:upgrade: " .. why, {
            status = 426, body = ("this needs an upgrade to %s: %s\n"):format(protocol, why),
            headers = { Upgrade = protocol },
        }), 0)
    end
    return require("moonloop.http.connection").new(duplex, protocol)
end

---Runs `fn(...)` when the answer has left: as a task of its own, which neither the end of the request nor its timeout
---ends. Several run at once. Only after an answer: when the handler fails or the client has gone before it, none runs.
---`req` and `res` are closed by then: what the task needs of them goes in the arguments. What it raises is logged with
---the request's id. Raises `full` when the app has too much under way (option max_background of the app).
---@overload fun(self: moonloop.Request, options: { timeout?: number, name?: string }, fn: function, ...: any)
---@param fn function
---@param ... any at most 200
function methods:after(fn, ...)
    require("moonloop.background.after").add(self, fn, ...)
end

---For transfer.lua: what a job gets of a request that it is given is a copy.
---@param req moonloop.Request
function Request.__transfer(req)
    local copy = require("moonloop.thread_route").copy_of(req)
    local context = rawget(req, "context")
    copy.context = context and pcall(serial.encode, context) and context or nil
    return "moonloop.thread_route", "request_of", copy
end

handles.finish(Request, "req", function(req)
    return req.method .. " " .. req.path
end, methods)

return Request
