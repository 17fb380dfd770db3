--- moonloop.lock inside the runtime; between processes: spec/shared/processes_spec.lua.

local activity = require("moonloop.activity")

local function locks()
    local rows = {}
    for _, row in ipairs(activity.list()) do
        if row.kind == "lock" then
            rows[#rows + 1] = row
        end
    end
    return rows
end
local errors = require("moonloop.util.errors")
local failure = require("spec.support.tasks").failure
local moonloop = require("moonloop")

local function code_of(fn, ...)
    local err = failure(fn, ...)
    assert.is_true(errors.is(err), tostring(err))
    return err.code
end

--- A task that waits for the lock, and has begun to.
local function spawn_waiter(fn)
    local task = moonloop.spawn(fn)
    moonloop.sleep(0)
    return task
end

describe("a lock", function()
    local count, lock = 0, nil

    before_each(function()
        count = count + 1
        lock = moonloop.lock("spec" .. count, { ttl = 60 })
    end)

    it("is held by one at a time", function()
        assert.is_nil(lock:holder())
        assert.is_true(lock:try_acquire())
        local other = moonloop.lock(lock.name)
        assert.is_false(moonloop.spawn(other.try_acquire, other):wait())
        assert.is_true(lock:release())
        assert.is_false(lock:release())
        assert.is_true(moonloop.spawn(function()
            return other:try_acquire() and other:release()
        end):wait())
    end)

    it("is the same lock in an offload thread", function()
        lock:acquire()
        local name, holder = lock.name, lock:holder()
        local was_free, pid, token = moonloop.offload(function()
            local there = require("moonloop").lock(name)
            return there:try_acquire(), there:holder().pid, there:holder().token
        end)
        assert.is_false(was_free)
        assert.same({ holder.pid, lock.token }, { pid, token })
        lock:release()
    end)

    it("has tokens that only grow", function()
        local last = 0
        for _ = 1, 5 do
            lock:with(function()
                assert.is_true(lock.token > last)
                last = lock.token
            end)
        end
        assert.is_nil(lock.token)
    end)

    it("serves the tasks of a worker in the order in which they came, at once", function()
        local order, tasks = {}, {}
        lock:acquire()
        for i = 1, 5 do
            tasks[i] = spawn_waiter(function()
                lock:with(function()
                    order[#order + 1] = i
                    moonloop.sleep(0)
                end)
            end)
        end
        assert.equal("lock", locks()[1].kind)
        assert.matches("5 wait", locks()[1].detail)
        lock:release()
        for i = 1, 5 do
            tasks[i]:wait()
        end
        assert.same({ 1, 2, 3, 4, 5 }, order)
        assert.is_nil(lock:holder())
    end)

    it("is given back when what runs under it fails, or is cancelled, or times out", function()
        assert.equal("boom", failure(lock.with, lock, error, "boom").message)
        assert.is_nil(lock:holder())
        assert.equal("timeout", code_of(moonloop.timeout, 0.01, function()
            lock:with(moonloop.sleep, 10)
        end))
        assert.is_nil(lock:holder())
        local task = spawn_waiter(function()
            lock:with(moonloop.sleep, 10)
        end)
        assert.is_table(lock:holder())
        task:cancel()
        assert.equal("cancelled", code_of(task.wait, task))
        assert.is_nil(lock:holder())
        assert.same({ 1, nil, 3 }, { lock:with(function(...) return ... end, 1, nil, 3) })
    end)

    it("leaves the queue when a wait for it is cancelled", function()
        lock:acquire()
        local first = spawn_waiter(function() lock:acquire() end)
        local second = spawn_waiter(function() lock:acquire() end)
        local third = spawn_waiter(function()
            lock:acquire()
            return lock:release()
        end)
        second:cancel()
        first:cancel()
        pcall(first.wait, first)
        assert.equal("cancelled", code_of(second.wait, second))
        assert.equal("timeout", code_of(moonloop.timeout, 0.01, function()
            moonloop.spawn(lock.acquire, lock):wait()
        end))
        lock:release()
        assert.is_true(third:wait())
        assert.same({}, locks())
    end)

    it("is not taken twice by one task", function()
        lock:acquire()
        local err = failure(lock.acquire, lock)
        assert.equal("deadlock", err.code)
        assert.matches("this task has it already", err.message)
        assert.equal("deadlock", code_of(lock.try_acquire, lock))
        assert.equal("deadlock", code_of(coroutine.wrap(function() lock:acquire() end)))
        assert.is_true(lock:release())
    end)

    it("is free when its lease ends, and its holder notices", function()
        lock = moonloop.lock(lock.name, { ttl = 0.02 })
        lock:acquire()
        local first = lock.token
        local other = moonloop.spawn(function()
            lock:acquire()
            local token = lock.token
            lock:renew(60)
            return token, lock:holder().left
        end)
        local token, left = other:wait()
        assert.is_true(token > first)
        assert.is_true(left > 1)
        assert.is_false(lock:release())
        assert.equal("lost", code_of(lock.renew, lock))
        assert.equal(token, lock:holder().token)
    end)

    it("lasts as long as it is renewed", function()
        lock = moonloop.lock(lock.name, { ttl = 0.05 })
        lock:acquire()
        for _ = 1, 5 do
            moonloop.sleep(0.02)
            lock:renew()
        end
        assert.is_true(lock:release())
    end)

    it("tells with's caller that the lease ended too early", function()
        lock = moonloop.lock(lock.name, { ttl = 0.01 })
        assert.equal("lost", code_of(lock.with, lock, moonloop.sleep, 0.03))
    end)

    it("is nobody's any more when its task has ended, but only when the lease ends", function()
        lock = moonloop.lock(lock.name, { ttl = 0.05 })
        moonloop.spawn(lock.acquire, lock):wait()
        assert.is_false(lock:try_acquire())
        lock:acquire()
        assert.is_true(lock:release())
    end)

    it("refuses what it does not know", function()
        assert.matches("lock: expected a name of 1 to 400 bytes, got nil", failure(moonloop.lock))
        assert.matches("lock: expected a name of 1 to 400 bytes, got one of 0", failure(moonloop.lock, ""))
        assert.matches("lock: unknown option tll; did you mean ttl", failure(moonloop.lock, "a", { tll = 1 }))
        for _, ttl in ipairs({ 0, -1, 0 / 0, math.huge, "1" }) do
            assert.matches("lock: ttl: expected more than 0 and at most 31622400 seconds, got ",
                failure(moonloop.lock, "a", { ttl = ttl }))
        end
        assert.matches("with: expected a function, got nil", failure(lock.with, lock))
    end)
end)
