--- Semaphores.

local moonloop = require("moonloop")
local tasks = require("spec.support.tasks")

local raised, until_true = tasks.raised, tasks.until_true

describe("a semaphore", function()
    local check_leaks

    before_each(function() check_leaks = tasks.leak_check() end)
    after_each(function() check_leaks() end)

    it("lets so many in at a time, in the order in which they came", function()
        local semaphore, inside, most, order = moonloop.semaphore(3), 0, 0, {}
        moonloop.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(i)
            semaphore:with(function()
                order[i] = #order + 1
                inside = inside + 1
                most = math.max(most, inside)
                moonloop.sleep(0)
                inside = inside - 1
            end)
        end)
        assert.equal(3, most)
        assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, order)
        assert.equal(3, semaphore.available)
    end)

    it("gives several permits at once, and nobody passes one who wants many", function()
        local semaphore, order = moonloop.semaphore(4), {}
        semaphore:acquire(3)
        local function take(name, count)
            semaphore:acquire(count)
            order[#order + 1] = name
        end
        local many = moonloop.spawn(take, "many", 4)
        local few = moonloop.spawn(take, "few", 1)
        until_true(function() return semaphore.waiting == 2 end)
        assert.is_false(semaphore:try_acquire(1)) -- one is free, but others came first
        semaphore:release(3)
        many:wait()
        semaphore:release(4)
        few:wait()
        assert.same({ "many", "few" }, order)
        semaphore:release(1)
        assert.equal(4, semaphore.available)
    end)

    it("lets those behind go on when one who wants many is cancelled", function()
        local semaphore = moonloop.semaphore(2)
        semaphore:acquire()
        local many = moonloop.spawn(semaphore.acquire, semaphore, 2)
        local few = moonloop.spawn(semaphore.acquire, semaphore, 1)
        until_true(function() return semaphore.waiting == 2 end)
        many:cancel()
        few:wait()
        pcall(many.wait, many)
        semaphore:release(2)
    end)

    it("keeps the permit of one who got it and then is cancelled until that is released", function()
        local semaphore = moonloop.semaphore(1)
        semaphore:acquire()
        local t = moonloop.spawn(function() semaphore:with(moonloop.sleep, 100) end)
        until_true(function() return semaphore.waiting == 1 end)
        semaphore:release()
        t:cancel()
        assert.equal(0, semaphore.available)
        pcall(t.wait, t)
        assert.equal(1, semaphore.available)
    end)

    it("refuses to be released more often than it was acquired", function()
        local semaphore = moonloop.semaphore(2, { name = "slots" })
        semaphore:acquire()
        local text, code = raised(semaphore.release, semaphore, 2)
        assert.equal("misuse", code)
        assert.matches("the semaphore slots is released more often", text)
        semaphore:release()
    end)

    it("can be closed, and lets only so many wait", function()
        local semaphore = moonloop.semaphore(1, { queue = 1 })
        semaphore:acquire()
        local waiter = moonloop.spawn(semaphore.acquire, semaphore)
        until_true(function() return semaphore.waiting == 1 end)
        assert.equal("full", select(2, raised(semaphore.acquire, semaphore)))
        semaphore:close()
        assert.equal("closed", select(2, raised(waiter.wait, waiter)))
        assert.equal("closed", select(2, raised(semaphore.acquire, semaphore)))
        semaphore:release()
        assert.equal(1, semaphore.available)
    end)

    it("refuses counts that make no sense, with the caller's line", function()
        local semaphore = moonloop.semaphore(2)
        for _, count in ipairs({ 0, -1, 1.5, 3, 0 / 0, "1" }) do
            assert.matches("semaphore_spec.lua:%d+: acquire: count: expected an integer from 1 to 2",
                raised(function() semaphore:acquire(count) end))
            assert.matches("semaphore_spec.lua:%d+: release: count",
                raised(function() semaphore:release(count) end))
        end
        assert.matches("semaphore_spec.lua:%d+: semaphore: count: expected an integer from 1",
            raised(function() local _ = moonloop.semaphore(0) end))
    end)
end)
