--- The face of moonloop: `local moonloop = require("moonloop")`.

local app = require("moonloop.app")
local concurrency = require("moonloop.concurrency")
local errors = require("moonloop.util.errors")
local task = require("moonloop.task")

---@class moonloop
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
