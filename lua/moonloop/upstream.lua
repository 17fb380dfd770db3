--- Servers to which moonloop.proxy passes requests on, as one: who is next, who is not well.
---
--- What is known of them is known in this worker alone, and for as long as this generation of the apps lives.

local activity = require("moonloop.activity")
local balance = require("moonloop.proxy.balance")
local core = require("moonloop.core.http")
local handles = require("moonloop.util.handle")
local now = require("moonloop.clock").now
local options_of = require("moonloop.options")
local request = require("moonloop.http.request")

local M = {}

---@class moonloop.UpstreamOptions
---@field [integer] string|{ url: string, weight?: integer } the servers: URLs, with a path or without
---@field balance? "round_robin"|"least_connections"|"hash" "round_robin"
---@field key? fun(req: moonloop.Request): any what "hash" goes by; the client's address
---@field max_fails? integer failures within fail_timeout that take a server out; 3; 0: none do
---@field fail_timeout? number seconds of that, and for which it is out; 10
---@field retries? integer further servers that a request may go to; as many as there are
---@field fail_on? integer[] statuses that count as failures, such as { 502, 503 }; none
---@field client? moonloop.http.ClientOptions of the connections to them

---@class moonloop.UpstreamStatus
---@field url string
---@field state "up"|"down"|"probing" out of use; out, but a request is finding out whether it is well again
---@field active integer requests that it has now
---@field requests integer that it was given so far
---@field failures integer of those
---@field down_for? number seconds until it is tried again
---@field last_error? string

---@alias moonloop.UpstreamLike string|string[]|moonloop.Upstream

---@class moonloop.Upstream
---@field private servers table[]
---@field private choose moonloop.proxy.Choice
local Upstream = { __name = "moonloop.Upstream", __transfer = false }
Upstream.__index = Upstream

local OPTIONS = {
    balance = "string", key = "function", max_fails = "number", fail_timeout = "number", retries = "number",
    fail_on = "table", client = "table",
}
local MAX_WEIGHT = 1000
local SHARED_CONNECTIONS = 256 -- to a server, of all upstreams that bring no client of their own

local groups = setmetatable({}, { __mode = "k" }) -- for moonloop ps

local function check_count(name, value, least, level)
    if value ~= nil and not (value >= least and value <= 1e6) then
        error(("moonloop.upstream: option %s: expected %d or more, got %s"):format(name, least, value), level + 1)
    end
end

local function server_of(given, level)
    local url, weight = given, 1
    if type(given) == "table" then
        options_of.check("moonloop.upstream", given, { url = "string", weight = "number" }, level)
        url, weight = given.url, given.weight or 1
    end
    if type(url) ~= "string" then
        error("moonloop.upstream: expected URLs, got a " .. type(url), level)
    end
    url = request.from_nginx(url) or url
    local parts, reason = core.parse(url)
    if not parts or parts.userinfo or url:find("[?#]") then
        error(("moonloop.upstream: %s: %s"):format(url, reason
            or "a server has no query and no user: send what it wants to know in headers"), level)
    end
    if weight % 1 ~= 0 or weight < 1 or weight > MAX_WEIGHT then
        error(("moonloop.upstream: weight: expected 1 to %d, got %s"):format(MAX_WEIGHT, weight), level)
    end
    return {
        url = url:gsub("/+$", ""), weight = weight, active = 0, requests = 0, failures = 0, fails = 0,
    }
end

local function choice_of(servers, options, level)
    local way = options.balance or "round_robin"
    local make = balance[way]
    if type(make) ~= "function" then
        error(("moonloop.upstream: option balance: expected round_robin, least_connections or hash, got %q"):format(
            way), level)
    elseif options.key and way ~= "hash" then
        error("moonloop.upstream: option key goes with balance = \"hash\"", level)
    end
    return make(servers, options.key or function(req) return req.remote_addr end)
end

local function check(options, level)
    if type(options) ~= "table" then
        error("moonloop.upstream: expected a table of URLs and options, got a " .. type(options), level)
    elseif #options == 0 then
        error("moonloop.upstream: expected at least one URL", level)
    end
    local named = {}
    for name, value in pairs(options) do
        if type(name) ~= "number" then
            named[name] = value
        end
    end
    options_of.check("moonloop.upstream", named, OPTIONS, level)
    check_count("max_fails", options.max_fails, 0, level)
    check_count("retries", options.retries, 0, level)
    if options.fail_timeout and not (options.fail_timeout > 0 and options.fail_timeout <= 1e6) then
        error("moonloop.upstream: option fail_timeout: expected seconds, more than 0", level)
    end
end

local shared_client

---What stands in the environment is for those who go out, not for those who come in.
local function client_of(options)
    local http = require("moonloop.http")
    if options.client then
        local own = { proxy = false }
        for name, value in pairs(options.client) do
            own[name] = value
        end
        return http.client(own)
    end
    shared_client = shared_client or http.client({ connections = SHARED_CONNECTIONS, proxy = false })
    return shared_client
end

local function make(options, level)
    check(options, level + 2)
    local servers, fail_on = {}, {}
    for i, given in ipairs(options) do
        servers[i] = server_of(given, level + 2)
    end
    for _, status in ipairs(options.fail_on or {}) do
        fail_on[status] = true
    end
    local self = setmetatable({
        servers = servers, choose = choice_of(servers, options, level + 2), client = client_of(options),
        max_fails = #servers > 1 and (options.max_fails or 3) or 0, fail_timeout = options.fail_timeout or 10,
        retries = math.min(options.retries or #servers - 1, #servers - 1), fail_on = fail_on,
    }, Upstream)
    groups[self] = true
    return self
end

---Servers that stand for each other. Make it once, at the top of the file: what is known of them is kept in it.
---@param options moonloop.UpstreamOptions
---@return moonloop.Upstream
function M.upstream(options, ...)
    if select("#", ...) > 0 then
        error("moonloop.upstream: expected one table, servers and options together: { url, …, balance = … }", 2)
    end
    local made = make(options, 2) -- no tail call: errors count this frame
    return made
end

local MAX_KEPT = 256
local kept, nkept = {}, 0

---What a URL or a list of URLs stands for: the same servers for the same text. For moonloop.proxy.
---@param given string|string[]|moonloop.Upstream
---@param level integer as of error()
---@return moonloop.Upstream
function M.of(given, level)
    if getmetatable(given) == Upstream then
        return given
    elseif type(given) ~= "string" and type(given) ~= "table" then
        error("moonloop.proxy: expected a URL, a list of them or a moonloop.upstream, got a " .. type(given), level + 1)
    end
    local list = type(given) == "string" and { given } or given
    local is_plain = true
    for key, value in pairs(list) do
        is_plain = is_plain and type(key) == "number" and type(value) == "string"
    end
    local text = is_plain and table.concat(list, " ")
    if not is_plain then
        error("moonloop.proxy: servers with options are a moonloop.upstream{ … } made once, not a table each time",
            level + 1)
    elseif not kept[text] then
        if nkept == MAX_KEPT then -- URLs that are made up for each request: nothing is worth keeping
            kept, nkept = {}, 0
        end
        kept[text], nkept = make(list, level + 1), nkept + 1
    end
    return kept[text]
end

-- ---- health ----

local function is_out(self, server)
    return server.out_until ~= nil and (now() < server.out_until or server.is_probed)
        and self.max_fails > 0
end

---The next server for a request, which has to be given back with `done`. nil: none is well, or none is left.
---@param req moonloop.Request
---@param tried table<table, boolean> those that have failed this request
---@return table? server
function Upstream:take(req, tried)
    local server
    if #self.servers == 1 then
        server = not tried[self.servers[1]] and self.servers[1] or nil
    else
        server = self.choose(function(each)
            return not tried[each] and not is_out(self, each)
        end, req)
    end
    if server then
        server.is_probed = server.out_until ~= nil
        server.active = server.active + 1
        server.requests = server.requests + 1
    end
    return server
end

---Whether there is another one for a request.
---@param tried table<table, boolean>
---@return boolean
function Upstream:has_more(tried)
    for _, server in ipairs(self.servers) do
        if not tried[server] and not is_out(self, server) then
            return true
        end
    end
    return false
end

---A request is over. `failure`: the error that speaks against the server; false: nothing is known; nil: it is well.
---@param server table
---@param failure any
function Upstream:done(server, failure)
    local time = now()
    server.active = server.active - 1
    server.is_probed = nil
    if failure == nil then
        server.fails, server.out_until = 0, nil
    elseif failure then
        server.failures = server.failures + 1
        server.last_error = require("moonloop.util.errors").message(failure)
        if time - (server.first_fail or -math.huge) > self.fail_timeout then
            server.fails, server.first_fail = 0, time
        end
        server.fails = server.fails + 1
        if self.max_fails > 0 and (server.out_until or server.fails >= self.max_fails) then
            server.out_until = time + self.fail_timeout
        end
    end
end

---Seconds until one of those that are out is tried again.
---@return number
function Upstream:wait_time()
    local first = math.huge
    for _, server in ipairs(self.servers) do
        first = math.min(first, server.out_until or math.huge)
    end
    return first < math.huge and math.max(0, first - now()) or 0
end

local function state_of(server)
    return server.out_until == nil and "up" or server.is_probed and "probing" or "down"
end

---What is known of each server now, in this worker.
---@return moonloop.UpstreamStatus[]
function Upstream:status()
    local rows = {}
    for i, server in ipairs(self.servers) do
        rows[i] = {
            url = server.url, state = state_of(server), active = server.active, requests = server.requests,
            failures = server.failures, last_error = server.last_error,
            down_for = server.out_until and math.max(0, server.out_until - now()) or nil,
        }
    end
    return rows
end

handles.finish(Upstream, "upstream", function(self)
    return ("upstream of %d servers"):format(#self.servers)
end)

activity.register("upstream", function()
    local rows = {}
    for group in pairs(groups) do
        for _, each in ipairs(group:status()) do
            rows[#rows + 1] = {
                kind = "upstream", name = each.url, state = each.state, runs = each.requests,
                detail = ("%d active, %d failed%s"):format(each.active, each.failures,
                    each.last_error and ", last: " .. each.last_error or ""),
            }
        end
    end
    return rows
end)

return M
