--- Downloads a URL to a file and prints how long it took and by how much the memory grew at most.
--- For bench/micro/download.

local http = require("moonloop.http")
local moonloop = require("moonloop")

local url, path = arg[1], arg[2]

local function kib(name)
    for line in io.lines("/proc/self/status") do
        local value = line:match("^" .. name .. ":%s*(%d+) kB")
        if value then
            return tonumber(value)
        end
    end
end

local before = kib("VmRSS")
local began = moonloop.now()
local size = http.get(url, { timeout = 120 }):save(path)
print(("%.4f %d %d"):format(moonloop.now() - began, size, kib("VmHWM") - before))
