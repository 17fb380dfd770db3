--- A client that counts what it loses while a server is being changed; see probe.py.
---
---     local probe = probes.start(site, "/hello/", "hello\n")
---     ...
---     probe:wait_requests(100)          -- so many more
---     assert.same({}, probe:stop().failures)

local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")
local unistd = require("posix.unistd")

local M = {}

-- Seconds between two requests of a connection. Full load is for the release build: with a sanitizer it would take two
-- thirds of a suite's time, and shows it nothing more.
local PAUSE = server.rounds(2) < 2 and 0.005 or 0

---@class spec.Probe
---@field private process spec.Process
---@field private site spec.Server
local Probe = {}
Probe.__index = Probe

---@param site spec.Server
---@param target string
---@param body string every answer's
---@param most? integer failures at which it gives up: 20
---@return spec.Probe
function M.start(site, target, body, most)
    local script = unistd.getcwd() .. "/spec/support/probe.py"
    local child = process.spawn({ "python3", script, tostring(site.port), target, body, tostring(most or 20),
        tostring(PAUSE) })
    return setmetatable({ process = child, site = site }, Probe)
end

---Waits until the probe has had so many answers more.
---@param count integer
function Probe:wait_requests(count)
    local first
    process.wait_for(count .. " more answers", function()
        local all = tonumber(self.process:out():match("(%d+)\n$"))
        first = first or all
        return all and all >= first + count
    end, 30)
end

---@return { requests: integer, fresh: integer, failures: string[] }
function Probe:stop()
    self.process:kill("TERM")
    self.process:wait(30)
    local text = self.process:out():match("{.*}")
    return assert(text and cjson.decode(text), self.process:err())
end

return M
