--- Random crowds of tasks on channels, semaphores and mutexes, with random cancellations, deadlines and closes: each
--- value is received once, or is still in the channel, or its sender was told that it was not sent; each permit comes
--- back; nothing is left. SYNC_SEED repeats a run, SYNC_ROUNDS sets how many crowds.

local clock = require("moonloop.core.clock")
local core = require("moonloop.core.task")
local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local ROUNDS = tonumber(os.getenv("SYNC_ROUNDS")) or 200
local SEED = tonumber(os.getenv("SYNC_SEED")) or os.time()

local at = SEED % 2147483646 + 1
local function random(n)
    at = (at * 16807) % 2147483647
    return at % n + 1
end

---What happened to the values of one crowd.
local function new_ledger()
    return { sent = {}, unsent = {}, received = {}, last = 0 }
end

local function note_received(ledger, value)
    assert(not ledger.received[value], "a value was received twice")
    ledger.received[value] = true
end

---Sends a new value somehow. Raises what the sending raised.
local function send(ledger, channels)
    local value = ledger.last + 1
    ledger.last = value
    local channel = channels[random(#channels)]
    local way = random(5)
    local is_sent = true
    local ok, err = pcall(function()
        if way == 1 then
            is_sent = channel:try_send(value)
        elseif way == 2 then
            moonloop.timeout(random(3) / 1000, channel.send, channel, value)
        elseif way == 3 then
            local cases, timeout = {}, random(2) == 1 and random(3) / 1000 or nil
            for i, each in ipairs(channels) do
                cases[i] = { each, "send", value }
            end
            cases.timeout = timeout
            is_sent = moonloop.select(cases) ~= "timeout"
        elseif way == 4 then
            coroutine.wrap(function() channel:send(value) end)()
        else
            channel:send(value)
        end
    end)
    ledger[ok and is_sent and "sent" or "unsent"][value] = true
    if not ok then
        error(err, 0)
    end
end

local function receive(ledger, channels)
    local channel = channels[random(#channels)]
    local way = random(5)
    local value
    if way == 1 then
        value = channel:try_recv()
    elseif way == 2 then
        value = moonloop.timeout(random(3) / 1000, channel.recv, channel)
    elseif way == 3 then
        local cases = { timeout = random(2) == 1 and random(3) / 1000 or nil, default = random(9) == 1 or nil }
        for i, each in ipairs(channels) do
            cases[i] = each
        end
        value = select(2, moonloop.select(cases))
    elseif way == 4 then
        value = coroutine.wrap(function() return channel:recv() end)()
    else
        value = channel:recv()
    end
    if value then
        note_received(ledger, value)
    end
end

---Ends by itself or is cancelled; errors of the channels are its everyday life.
local function member(act, ...)
    for _ = 1, random(12) do
        local ok, err = pcall(act, ...)
        if not ok and (type(err) ~= "table" or not (err.code == "timeout" or err.code == "closed"
            or err.code == "cancelled" or err.code == "full")) then
            error(err, 0)
        end
        if random(4) == 1 then
            moonloop.sleep(random(5) == 1 and 0.001 or 0)
        end
    end
end

local function crowd(ledger, channels)
    local members = {}
    for i = 1, 2 + random(12) do
        members[i] = moonloop.spawn(member, random(2) == 1 and send or receive, ledger, channels)
        members[i].is_seen = true
    end
    for _ = 1, random(8) do
        moonloop.sleep(random(3) == 1 and 0.001 or 0)
        local lot = random(6)
        if lot <= 4 then
            members[random(#members)]:cancel()
        elseif lot == 5 then
            pcall(channels[1].close, channels[1])
        end
    end
    moonloop.sleep(0.002)
    for _, each in ipairs(members) do
        each:cancel()
    end
    for _, each in ipairs(members) do
        local ok, err = pcall(each.wait, each)
        assert(ok or err.code == "cancelled" or err.code == "timeout", tostring(err))
    end
end

local function drain(ledger, channel)
    while channel.length > 0 do
        note_received(ledger, channel:try_recv())
    end
end

local function check_ledger(ledger, where)
    for value = 1, ledger.last do
        local is_known = ledger.sent[value] or ledger.unsent[value]
        assert.is_truthy(is_known, "a send that never ended" .. where)
        assert.equal(ledger.sent[value] or false, ledger.received[value] or false, "value " .. value .. where)
    end
end

describe("random crowds", function()
    before_each(function() clock.shuffle(random(1000000)) end) -- ready tasks run in random order
    after_each(function() clock.shuffle(0) end)

    it("on channels lose no value and receive none twice", function()
        local check_leaks = tasks.leak_check()
        for round = 1, ROUNDS do
            local where = (" (crowd %d, SYNC_SEED=%d)"):format(round, at - 1)
            local channels = {}
            for i = 1, random(3) do
                channels[i] = moonloop.channel(({ 0, 0, 1, 2, 5 })[random(5)], { queue = random(3) == 1 and 3 or nil })
            end
            local ledger = new_ledger()
            crowd(ledger, channels)
            for _, channel in ipairs(channels) do
                assert.equal(0, channel.waiting, "waiters" .. where)
                assert.is_nil(next(channel.offers), "offers" .. where)
                drain(ledger, channel)
            end
            check_ledger(ledger, where)
            check_leaks()
        end
    end)

    it("on semaphores and mutexes give back what they took", function()
        local check_leaks = tasks.leak_check()
        for round = 1, ROUNDS do
            local where = (" (crowd %d, SYNC_SEED=%d)"):format(round, at - 1)
            local capacity = random(3)
            local semaphore, mutex = moonloop.semaphore(capacity), moonloop.mutex()
            local inside = 0
            local function use()
                local count = random(capacity)
                if random(2) == 1 then
                    moonloop.timeout(random(3) / 1000, semaphore.acquire, semaphore, count)
                else
                    semaphore:acquire(count)
                end
                assert(semaphore.available >= 0)
                pcall(mutex.with, mutex, function()
                    inside = inside + 1
                    assert(inside == 1, "two in a mutex")
                    pcall(moonloop.sleep, 0)
                    inside = inside - 1
                end)
                semaphore:release(count)
            end
            local members = {}
            for i = 1, 3 + random(6) do
                members[i] = moonloop.spawn(member, use)
                members[i].is_seen = true
            end
            for _ = 1, random(4) do
                moonloop.sleep(0)
                members[random(#members)]:cancel()
            end
            for _, each in ipairs(members) do
                pcall(each.wait, each)
            end
            assert.equal(capacity, semaphore.available, "permits" .. where)
            assert.equal(0, semaphore.waiting, "waiters" .. where)
            assert.is_false(mutex.is_locked, "the mutex" .. where)
            check_leaks()
        end
    end)

    it("on a shared run leave none behind", function()
        local check_leaks = tasks.leak_check()
        for _ = 1, ROUNDS do
            local callers = {}
            for i = 1, random(8) do
                callers[i] = moonloop.spawn(function()
                    return moonloop.timeout(random(4) / 1000, moonloop.singleflight, random(2), function()
                        moonloop.sleep(random(3) == 1 and 0.001 or 0)
                        if random(4) == 1 then
                            error("no", 0)
                        end
                    end)
                end)
                callers[i].is_seen = true
            end
            for _ = 1, random(3) do
                moonloop.sleep(0)
                callers[random(#callers)]:cancel()
            end
            for _, each in ipairs(callers) do
                pcall(each.wait, each)
            end
            tasks.until_true(function() return core.counts().tasks == 1 end)
            check_leaks()
        end
    end)
end)
