--- How far a deadline and a cancellation reach: into everything that waits, at once, and nothing is left behind.
--- The HTTP client has the same in spec/http/client_spec.lua.

local core = require("moonloop.core.task")
local dirent = require("posix.dirent")
local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local function held(thing, take)
    moonloop.scope(function(scope)
        local holder = scope:spawn(thing.with, thing, moonloop.sleep, 60)
        tasks.until_true(function() return holder.status == "waiting" end)
        take(thing)
    end)
end

local function sleep_elsewhere()
    require("moonloop").sleep(60)
end

local WAITS = {
    ["sleep"] = function() moonloop.sleep(60) end,
    ["task:wait"] = function() moonloop.spawn(moonloop.sleep, 60):wait() end,
    ["gather"] = function()
        moonloop.gather(function() moonloop.sleep(60) end, function() moonloop.channel():recv() end)
    end,
    ["map"] = function() moonloop.map({ 1, 2, 3 }, function() moonloop.sleep(60) end, { limit = 2 }) end,
    ["channel:recv"] = function() moonloop.channel():recv() end,
    ["channel:send"] = function() moonloop.channel():send(1) end,
    ["select"] = function() moonloop.select({ moonloop.channel(), moonloop.event() }) end,
    ["semaphore:acquire"] = function() held(moonloop.semaphore(1), moonloop.semaphore(1).acquire) end,
    ["mutex:lock"] = function() held(moonloop.mutex(), moonloop.mutex().lock) end,
    ["lock:acquire"] = function() held(moonloop.lock("reach"), moonloop.lock("reach").acquire) end,
    ["event:wait"] = function() moonloop.event():wait() end,
    ["barrier:wait"] = function() moonloop.barrier(2):wait() end,
    ["rate_limiter:acquire"] = function()
        local limiter = moonloop.rate_limiter({ rate = 0.01 })
        limiter:acquire()
        limiter:acquire()
    end,
    ["retry"] = function() moonloop.retry({ times = 9, backoff = 60, jitter = false }, function() error("no") end) end,
    ["singleflight"] = function() moonloop.singleflight("reach", sleep_elsewhere) end,
    ["cache:get"] = function() moonloop.cache():get("reach", sleep_elsewhere) end,
    ["topic recv"] = function() moonloop.topic("reach"):subscribe():recv() end,
    ["offload"] = function() moonloop.offload(sleep_elsewhere) end,
    ["offload_map"] = function() moonloop.offload_map({ 1, 2 }, sleep_elsewhere) end,
    ["job:progress"] = function() moonloop.pool():start(sleep_elsewhere):progress()() end,
    ["process pool"] = function()
        moonloop.pool({ kind = "process", size = 1, name = "reach" }):run(sleep_elsewhere)
    end,
    ["process.run"] = function() moonloop.process.run({ "sleep", "60" }) end,
    ["process.spawn"] = function() moonloop.process.spawn({ "sleep", "60" }):wait() end,
}

local function descriptors()
    local count = 0
    for _ in dirent.files("/proc/self/fd") do
        count = count + 1
    end
    return count
end

---Ends each wait, and gives the codes that were none of `code`, and what lasted.
local function end_each(code, stop)
    local wrong = {}
    for name, wait in pairs(WAITS) do
        local began = moonloop.now()
        local _, err = moonloop.try(stop, wait)
        if not (type(err) == "table" and err.code == code) or moonloop.now() - began > 20 then
            wrong[#wrong + 1] = name .. ": " .. tostring(err)
        end
    end
    return wrong
end

local function by_deadline(wait)
    moonloop.timeout(0.02, wait)
end

local function by_cancelling(wait)
    local t = moonloop.spawn(wait)
    moonloop.sleep(0.02)
    t:cancel("enough")
    t:wait()
end

describe("everything that waits", function()
    it("ends at a deadline, and when its task is cancelled, and leaves nothing", function()
        local counts = core.counts()
        end_each("timeout", by_deadline) -- threads and processes of pools stay: they are there from now on
        local before = descriptors()
        assert.same({}, end_each("timeout", by_deadline))
        assert.same({}, end_each("cancelled", by_cancelling))
        local function is_clean() -- fewer is well: what other specs left may have ended
            local now = core.counts()
            return now.tasks <= counts.tasks and now.timers <= counts.timers and descriptors() <= before
        end
        for _ = 1, 200 do -- the last process has to be reaped first
            if is_clean() then
                break
            end
            moonloop.sleep(0.02)
        end
        assert.is_true(is_clean())
    end)
end)
