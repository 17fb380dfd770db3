--- The face of moonloop: `local moonloop = require("moonloop")`.

local app = require("moonloop.app")
local concurrency = require("moonloop.concurrency")
local errors = require("moonloop.util.errors")
local task = require("moonloop.task")

---@class moonloop
---@field channel fun(capacity?: integer, options?: { name?: string, queue?: integer }): moonloop.Channel
---@field select fun(cases: table): any, any
---@field event fun(options?: { name?: string, queue?: integer }): moonloop.Event
---@field mutex fun(options?: { name?: string, queue?: integer }): moonloop.Mutex
---@field semaphore fun(count: integer, options?: { name?: string, queue?: integer }): moonloop.Semaphore
---@field barrier fun(count: integer, options?: { name?: string }): moonloop.Barrier
---@field rate_limiter fun(options: moonloop.RateLimiterOptions): moonloop.RateLimiter
---@field singleflight fun(key: any, fn: function, options?: { queue?: integer }): any
---@field retry fun(options: moonloop.RetryOptions, fn: fun(attempt: integer): any): any
---@field circuit_breaker fun(options?: moonloop.CircuitBreakerOptions): moonloop.CircuitBreaker
---@field cache fun(options?: moonloop.CacheOptions): moonloop.Cache
---@field offload_map fun(list: any[], fn: function, options?: moonloop.MapOptions): any[]
---@field pool fun(options?: moonloop.PoolOptions): moonloop.Pool
---@field progress fun(...: any): boolean
---@field process moonloop.process
---@field shared fun(name: string, options?: { evict?: boolean }): moonloop.SharedDict
---@field proxy fun(req: moonloop.Request, upstream: moonloop.UpstreamLike, options?: moonloop.ProxyOptions): any
---@field upstream fun(options: moonloop.UpstreamOptions): moonloop.Upstream
---@field topic fun(name: string): moonloop.Topic
---@field lock fun(name: string, options?: { ttl?: number }): moonloop.Lock
local M = {
    app = app.new,
    sleep = task.sleep, now = task.now, spawn = task.spawn, scope = task.scope,
    timeout = task.timeout, shield = task.shield,
    gather = concurrency.gather, map = concurrency.map,
    race = concurrency.race, any = concurrency.any,
    try = errors.try,
    offload = require("moonloop.offload").offload,
    json = require("moonloop.json"),
    log = require("moonloop.log"),
}

---The address by which other machines reach this one: what to tell colleagues, as a text. An IPv4 address where
---there is a route for one, else an IPv6 address, else "127.0.0.1". Never waits; sends nothing.
---@return string
M.host_ip = require("moonloop.core.host").ip

-- What most scripts never touch is loaded when it is first asked for: a VM stays small.
local LAZY = {
    channel = "moonloop.sync.channel", select = "moonloop.sync.select",
    semaphore = "moonloop.sync.semaphore", mutex = "moonloop.sync.mutex",
    event = "moonloop.sync.event", barrier = "moonloop.sync.barrier",
    rate_limiter = "moonloop.sync.rate_limiter", singleflight = "moonloop.sync.singleflight",
    retry = "moonloop.sync.retry", circuit_breaker = "moonloop.sync.circuit_breaker",
    cache = "moonloop.sync.cache",
    offload_map = "moonloop.pool", pool = "moonloop.pool", progress = "moonloop.pool",
    process = "moonloop.process", proxy = "moonloop.proxy", upstream = "moonloop.upstream",
    shared = "moonloop.shared", topic = "moonloop.topic", lock = "moonloop.lock",
}

-- Modules that are a table of functions themselves; of the others the field of the same name is the function.
local WHOLE = { process = true }

setmetatable(M, { __index = function(_, name)
    local module = LAZY[name]
    if not module then
        return nil
    end
    local value = require(module)
    if not WHOLE[name] then
        value = value[name]
    end
    rawset(M, name, value)
    return value
end })

---Leaves a handler from anywhere with an answer.
---@param status integer 200..599
---@param body? string|table
---@param headers? table<string, string|string[]>
function M.abort(status, body, headers)
    if type(status) ~= "number" then
        error("abort: expected a status, got " .. type(status), 2)
    end
    error(errors.new("abort", "answered " .. status, { status = status, body = body, headers = headers }), 0)
end

return M
