--- Starts spec/support/nameserver.py, a DNS server whose zone the spec writes. Gone after process.clean().
---
---     local names = nameserver.start({ ["www.test"] = { A = { "127.0.0.1" } } })
---     local client = http.client({ nameservers = { names.address } })

local json = require("moonloop.json")
local process = require("spec.support.process")

local M = {}

---@class spec.Nameserver
---@field port integer
---@field address string "127.0.0.1:PORT"
---@field private dir string
---@field private process spec.Process
local Nameserver = {}
Nameserver.__index = Nameserver

---@param zone table<string, table> see nameserver.py
---@param address? string where it listens
---@return spec.Nameserver
function M.start(zone, address)
    local self = setmetatable({ dir = process.directory() }, Nameserver)
    self:set(zone)
    process.write(self.dir .. "/log", "")
    self.process = process.spawn({
        "python3", "spec/support/nameserver.py", self.dir .. "/zone", self.dir .. "/log", address or "127.0.0.1",
    })
    self.port = tonumber(process.wait_for("the name server", function()
        return self.process:out():match("^(%d+)\n")
    end))
    self.address = (address and address:find(":") and "[%s]:%d" or "%s:%d"):format(address or "127.0.0.1", self.port)
    return self
end

---@param zone table<string, table>
function Nameserver:set(zone)
    process.write(self.dir .. "/zone", json.encode(zone))
end

---A path for `hold`: what has it is answered once `release` is called.
---@return string
function Nameserver:held()
    return self.dir .. "/hold"
end

function Nameserver:release()
    process.write(self:held(), "")
end

---What it was asked so far: "udp A www.test" …
---@return string[]
function Nameserver:questions()
    local lines = {}
    for line in process.read(self.dir .. "/log"):gmatch("[^\n]+") do
        lines[#lines + 1] = line
    end
    return lines
end

---How often it was asked for A of a name.
---@param name string
---@return integer
function Nameserver:count(name)
    local count = 0
    for _, line in ipairs(self:questions()) do
        count = count + (line:match("A (.*)$") == name and not line:find("AAAA") and 1 or 0)
    end
    return count
end

function Nameserver:stop()
    self.process:kill("KILL")
    self.process:wait()
end

return M
