--- `moonloop.proxy(req, upstream, options)`: passes a request on to another server and its answer back, both as they
--- come: bodies are streamed with back-pressure, never gathered, never decoded.

local core = require("moonloop.core.request")
local errors = require("moonloop.util.errors")
local fields_of = require("moonloop.proxy.fields")
local http_core = require("moonloop.core.http")
local log = require("moonloop.log")
local now = require("moonloop.clock").now
local options_of = require("moonloop.options")
local sources = require("moonloop.http.source")
local upstreams = require("moonloop.upstream")

local settle = errors.settle

local M = {}

---@class moonloop.ProxyOptions
---@field strip? string a prefix that the path loses: "/api"
---@field path? string|fun(path: string, req: moonloop.Request): string in place of the request's, percent-encoded
---@field preserve_host? boolean the client's Host goes on; false: that of the upstream's URL
---@field headers? table<string, string|string[]|false> for the upstream, in place of the client's; false drops one
---@field forwarded? boolean adds Forwarded (RFC 7239) beside the X-Forwarded fields
---@field via? string the name in Via; "moonloop"
---@field timeout? number|false seconds for the head of the answer, for each server; 25; false: none
---@field idle_timeout? number|false seconds without a byte of the answer's body; 60; false: none
---@field upgrade? boolean whether upgrades are passed on; true
---@field tunnel_timeout? number|false seconds without a byte after an upgrade; 3600; false: none
---@field on_error? fun(err: moonloop.Error, req: moonloop.Request): any, integer?, table? what is answered, not a
---  502, 503 or 504; its results are those of moonloop.proxy

local OPTIONS = {
    strip = "string", path = "string|function", preserve_host = "boolean", headers = "table", forwarded = "boolean",
    via = "string", timeout = "number|boolean", idle_timeout = "number|boolean", upgrade = "boolean",
    tunnel_timeout = "number|boolean", on_error = "function",
}
local TIMES = { timeout = 25, idle_timeout = 60, tunnel_timeout = 3600 }
local NONE = {}

---@class moonloop.proxy.Plan options as they are used
---@field given moonloop.ProxyOptions a copy
---@field count integer of what is in it
---@field strip? string without a slash at the end
---@field timeout number seconds; as the next two, 0: none
---@field idle_timeout number
---@field tunnel_timeout number

-- Handlers mostly write their options out: the tables are new each time, what is in them is not.
local MAX_PLANS = 16
---@type moonloop.proxy.Plan[]
local plans, next_plan = {}, 1

local function check(options, level)
    options_of.check("moonloop.proxy", options, OPTIONS, level + 1)
    for name in pairs(TIMES) do
        local value = options[name]
        if value == true or type(value) == "number" and not (value > 0 and value < 1e9) then
            error(("moonloop.proxy: option %s: expected seconds, more than 0, or false"):format(name), level + 1)
        end
    end
    if options.via and not options.via:match("^[%w!#$%%&'*+%-.^_`|~:]+$") then
        error("moonloop.proxy: option via: expected a name without blanks", level + 1)
    end
    if options.strip and options.strip:sub(1, 1) ~= "/" then
        error(("moonloop.proxy: option strip: expected the beginning of a path, such as \"/api\", got %q"):format(
            options.strip), level + 1)
    end
end

local function make_plan(options)
    local plan = { given = {}, count = 0, strip = options.strip and options.strip:gsub("/+$", "") }
    for name, value in pairs(options) do
        plan.given[name], plan.count = value, plan.count + 1
    end
    for name, default in pairs(TIMES) do
        local value = options[name]
        plan[name] = value == nil and default or value or 0
    end
    return plan
end

local function is_plan_of(plan, options)
    local given, count = plan.given, 0
    for name, value in pairs(options) do
        if given[name] ~= value then
            return false
        end
        count = count + 1
    end
    return count == plan.count
end

local function plan_of(options, level)
    for i = 1, #plans do
        if is_plan_of(plans[i], options) then
            return plans[i]
        end
    end
    check(options, level + 1)
    local plan = make_plan(options)
    plans[next_plan], next_plan = plan, next_plan % MAX_PLANS + 1
    return plan
end

-- ---- the request ----

---What a raw path has behind a prefix, whose characters it may have encoded; nil: it begins otherwise.
local function behind(path, prefix)
    if path:sub(1, #prefix) == prefix then
        local rest = path:sub(#prefix + 1)
        return (rest == "" or rest:sub(1, 1) == "/") and rest or nil
    elseif not path:find("%", 1, true) then
        return nil
    end
    local at = 1
    for i = 1, #prefix do
        local char = path:sub(at, at)
        if char == "%" and path:sub(at, at + 2):lower() ~= "%2f" then
            char, at = string.char(tonumber(path:sub(at + 1, at + 2), 16)), at + 2
        end
        if char ~= prefix:sub(i, i) then
            return nil
        end
        at = at + 1
    end
    local rest = path:sub(at)
    return (rest == "" or rest:sub(1, 1) == "/") and rest or nil
end

---The path to ask for, raw. One that climbs is refused: which route it belongs to would be for the upstream to say.
local function path_of(req, plan)
    local path, query = core.forward_path(req[1])
    if not path then
        error(errors.new("bad_request", "the path holds . or .. as a segment", { status = 400 }), 0)
    end
    local strip, given = plan.strip, plan.given.path
    if strip then
        path = behind(path, strip) or path
    end
    if given then
        path = type(given) == "function" and given(path, req) or given
        if type(path) ~= "string" then
            error("moonloop.proxy: option path: the function gave a " .. type(path), 0)
        end
    end
    if path:sub(1, 1) ~= "/" then
        path = "/" .. path
    end
    return query ~= "" and path .. "?" .. query or path
end

---What is sent as the body: bytes that are all here, or a source that streams.
local function body_of(req)
    local token = req[1]
    local length = core.promised_length(token)
    if length == 0 or rawget(req, "whole_body") then
        return rawget(req, "whole_body")
    elseif core.body_state(token) == "done" then
        return req:body()
    end
    return nil, sources.once(req:chunks(), length)
end

---The protocol that is offered, when it can be passed on.
local function offer_of(seen, options)
    local protocol = seen.upgrade and options.upgrade ~= false and seen.upgrade:match("^%s*([^%s,]+)")
    if protocol and protocol:lower() ~= "h2c" and (seen.connection or ""):lower():find("upgrade", 1, true) then
        return protocol
    end
end

local function tell(status, headers, wanted)
    headers.connection, headers["keep-alive"] = nil, nil
    core.interim(wanted.token, status, setmetatable(headers, nil))
end

local function wanted_of(req, options)
    local fields, seen, verdict = fields_of.of_request(req, options)
    if verdict then
        return nil, verdict
    end
    local body, source = body_of(req)
    local upgrade = body == nil and source == nil and offer_of(seen, options) or nil
    if upgrade then
        fields[#fields + 1], fields[#fields + 2] = "Upgrade", upgrade
    end
    return {
        method = req.method, fields = fields, body = body, source = source, upgrade = upgrade, max_body = 1,
        on_informational = tell, token = req[1],
    }
end

-- ---- which server ----

local IDEMPOTENT = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true }
local UNSENT = { refused = true, dns = true, tls = true, full = true }
local BEFORE_SENDING = {
    ["while waiting for a connection"] = true, ["while resolving the name"] = true, ["while connecting"] = true,
    ["in the TLS handshake"] = true,
}

---Whether the failure is one of the server's: not a cancelled request, not a body that could not be read.
local function is_upstream(err)
    return errors.is(err) and rawget(err, "stage") ~= nil and not rawget(err, "status")
end

---Another server may have it when this one has seen nothing of it, or when it does no harm twice and this one did not
---just take too long.
local function can_go_elsewhere(wanted, err)
    if wanted.source and not wanted.source:can_reopen() then
        return false
    end
    return UNSENT[err.code] or BEFORE_SENDING[err.stage] or (IDEMPOTENT[wanted.method] and err.code ~= "timeout")
end

local ANSWERS = {
    [502] = "bad gateway: the server behind this one gave no answer",
    [503] = "service unavailable: no server behind this one is well",
    [504] = "gateway timeout: the server behind this one took too long",
    [508] = "loop detected: this request comes back again and again",
}

---What the client is told says nothing of what is behind; the log does.
local function fail(status, code, cause, group)
    local headers
    if status == 503 then
        headers = { ["Retry-After"] = tostring(math.max(1, math.ceil(group:wait_time()))) }
    end
    local told = { status = status, is_logged = true, cause = cause, answer_headers = headers }
    error(errors.new(code, ANSWERS[status], told), 0)
end

local function status_of(err)
    return err.code == "timeout" and 504 or err.code == "full" and 503 or 502
end

---Asks one server. True and its answer; false and what speaks against it. Raises what is not the server's fault.
local function attempt(group, server, wanted, path, timeout)
    wanted.url = server.url .. path
    local ok, res = pcall(group.client.exchange, group.client, wanted, timeout > 0 and now() + timeout or nil)
    if ok and res.status > 599 then -- RFC 9110, 15: there is no such status
        local err = errors.new("protocol", ("%s %s: answered %d"):format(wanted.method, wanted.url, res.status),
            { stage = "when it was done" })
        res:close()
        return false, err
    elseif ok and not group.fail_on[res.status] then
        return true, res
    elseif ok then
        return false, errors.new("status", ("%s %s: answered %d"):format(wanted.method, wanted.url, res.status),
            { stage = "when it was done", answer = res })
    elseif not is_upstream(res) then
        group:done(server, false)
        error(res, 0)
    end
    return false, res
end

---The first answer that a server gives, and that server.
local function find_answer(group, req, wanted, path, timeout)
    local tried, err = {}, nil
    for _ = 0, group.retries do
        local server = group:take(req, tried)
        if not server then
            break
        end
        local ok, result = attempt(group, server, wanted, path, timeout)
        if ok then
            return result, server
        end
        err, tried[server] = result, true
        log.warn("proxy: " .. err.message, { upstream = server.url })
        local goes_on = can_go_elsewhere(wanted, err)
        if err.answer and not (goes_on and group:has_more(tried)) then
            return err.answer, server, err
        end
        group:done(server, err.code ~= "full" and err)
        if err.answer then
            err.answer:close()
        end
        if not goes_on then
            break
        end
    end
    if not err then
        log.warn("proxy: no upstream is well", { upstream = group.servers[1].url })
        fail(503, "unavailable", nil, group)
    end
    fail(status_of(err), err.code, err, group)
end

-- ---- the answer ----

---Passes the answer on. What goes wrong behind the head cuts the client's connection: it must not take a part for all.
local function pass_on(req, res, wanted, options, idle)
    local token, handle, out = req[1], rawget(res, "handle"), rawget(req, 2) or {}
    local headers, length = fields_of.of_answer(rawget(res, "head") or handle, options, rawget(out, "headers"))
    out.status, out.headers = res.status, headers
    local whole = rawget(res, "whole")
    if whole then
        settle(core.begin(token, out, wanted.method == "HEAD" and length or wanted.method ~= "HEAD" and #whole or nil,
            whole))
        return
    end
    settle(core.begin(token, out, length))
    http_core.limit(handle, idle)
    local chunk = settle(http_core.chunk(handle))
    while chunk do
        settle(core.write(token, out, chunk))
        http_core.limit(handle, idle)
        chunk = settle(http_core.chunk(handle))
    end
end

---What is not passed on: the last of those that OPTIONS asks for answers by itself (RFC 9110, 7.6.2).
local function end_here(req, verdict, path, group)
    if verdict == "looping" then
        log.warn("proxy: " .. ANSWERS[508], { upstream = group.servers[1].url, path = path })
        fail(508, "loop", nil, group)
    end
    settle(core.begin(req[1], { status = 200, headers = rawget(rawget(req, 2) or {}, "headers") }, 0, ""))
end

local function run(req, group, plan)
    local options, path = plan.given, path_of(req, plan)
    local wanted, verdict = wanted_of(req, options)
    if not wanted then
        end_here(req, verdict, path, group)
        return
    end
    local res, server, failure = find_answer(group, req, wanted, path, plan.timeout)
    local pass, idle = pass_on, plan.idle_timeout
    if res.status == 101 then
        pass, idle = require("moonloop.proxy.tunnel").pass, plan.tunnel_timeout
    end
    local ok, err = pcall(pass, req, res, wanted, options, idle)
    if ok then
        group:done(server, failure)
        return
    end
    local is_theirs = is_upstream(err)
    group:done(server, is_theirs and err)
    if is_theirs then
        log.warn("proxy: " .. err.message .. "; the client's connection is cut", { upstream = server.url })
        err.is_logged = true
    elseif errors.is(err) and err.code == "closed" then
        err.is_logged = true -- the client has gone: nothing is wrong here
    end
    error(err, 0)
end

---Passes a request on to one of the servers behind `upstream` and its answer back to the client, which it has when this
---returns. Raises, when there is no answer, an error with `status` 502, 503 or 504, which answers by itself unless
---`on_error` does; `err.cause` is what happened.
---@param req moonloop.Request
---@param upstream string|string[]|moonloop.Upstream a URL, several of them, or what moonloop.upstream has made of them
---@param options? moonloop.ProxyOptions
---@return any ... nothing; or what on_error gives: return it
function M.proxy(req, upstream, options)
    options = options or NONE
    if type(req) ~= "table" or type(rawget(req, 1)) ~= "number" then
        error("moonloop.proxy: expected the req of a handler that runs on the loop", 2)
    end
    local plan, group = plan_of(options, 2), upstreams.of(upstream, 2)
    if not options.on_error then
        run(req, group, plan)
        return
    end
    local ok, err = pcall(run, req, group, plan)
    if ok then
        return
    elseif not (errors.is(err) and rawget(err, "status") and err.status > 500) or core.is_begun(req[1]) then
        error(err, 0)
    end
    return options.on_error(err, req)
end

return M
