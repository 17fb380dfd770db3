--- From where in Lua a task may wait, and what it is told where it may not.

local moonloop = require("moonloop")

local function message_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return tostring(err), type(err) == "table" and err.code
end

local function nap()
    moonloop.sleep(0)
    return "awake"
end

describe("waiting", function()
    it("works inside pcall, xpcall, metamethods and iterators", function()
        assert.same({ true, "awake" }, { pcall(nap) })
        assert.same({ true, "awake" }, { xpcall(nap, debug.traceback) })
        local object = setmetatable({}, {
            __index = nap, __add = nap, __call = nap, __concat = nap,
            __eq = function() return nap() == "awake" end, __lt = function() return nap() == "awake" end,
        })
        assert.equal("awake", object.x)
        assert.equal("awake", object + 1)
        assert.equal("awake", object())
        assert.equal("awake", object .. "x")
        assert.is_true(object == setmetatable({}, getmetatable(object)))
        assert.is_true(object < object)
        local seen = {}
        for value in function(_, last) nap() return (last or 0) < 3 and (last or 0) + 1 or nil end do
            seen[#seen + 1] = value
        end
        assert.same({ 1, 2, 3 }, seen)
    end)

    it("works inside coroutine.wrap inside coroutine.wrap", function()
        local outer = coroutine.wrap(function()
            local inner = coroutine.wrap(function()
                for i = 1, 3 do
                    nap()
                    coroutine.yield(i)
                end
            end)
            for _ = 1, 3 do
                nap()
                coroutine.yield(inner() * 10)
            end
        end)
        assert.same({ 10, 20, 30 }, { outer(), outer(), outer() })
    end)

    it("raises into a coroutine of the user's own when it is cancelled there", function()
        local code
        local t = moonloop.spawn(function()
            coroutine.wrap(function()
                local ok, err = pcall(moonloop.sleep, 100)
                code = not ok and err.code
            end)()
        end)
        moonloop.sleep(0)
        t:cancel()
        t:wait()
        assert.equal("cancelled", code)
    end)

    it("keeps a coroutine in which a task waits, and that of a task, from being resumed by another", function()
        local co, mine
        local t = moonloop.spawn(function()
            mine = coroutine.running()
            co = coroutine.create(function() moonloop.sleep(0.02) return "done" end)
            return coroutine.resume(co)
        end)
        moonloop.sleep(0)
        assert.same({ false, "cannot resume a coroutine that is a task or in which a task waits" },
            { coroutine.resume(co, true) })
        assert.is_false((coroutine.resume(mine, true)))
        assert.same({ true, "done" }, { t:wait() })
    end)

    it("names the function that it cannot leave, and the way out", function()
        assert.matches("table%.sort: fetch what", message_of(table.sort, { 2, 1 }, nap))
        assert.matches("string%.gsub: collect", message_of(string.gsub, "abc", "b", nap))
        assert.matches("string%.gsub", message_of(function() return (("abc"):gsub("b", nap)) end))
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write("require('moonloop').sleep(0)")
        file:close()
        local text, code = message_of(dofile, path)
        os.remove(path)
        assert.matches("cannot wait inside", text)
        assert.equal("misuse", code)
        local speaking = setmetatable({}, { __tostring = nap })
        assert.matches("__tostring, called by print", (message_of(print, speaking)))
        assert.matches("__tostring, called by string%.format", (message_of(string.format, "%s", speaking)))
        local _, _, why = pcall(load, nap)
        assert.matches("the reader of load: read all pieces first", tostring(why))
        local comparable = { __lt = function() nap() return false end }
        local list = { setmetatable({}, comparable), setmetatable({}, comparable) }
        assert.matches("table%.sort", (message_of(table.sort, list)))
        assert.matches("string%.gsub", (message_of(string.gsub, "abc", "b", setmetatable({}, { __index = nap }))))
        package.preload["spec.waits"] = nap
        assert.matches("a file that is being loaded", (message_of(require, "spec.waits")))
        package.preload["spec.waits"] = nil
        local callback = require("ffi").cast("int (*)(void)", function()
            text = message_of(nap)
            return 1
        end)
        assert.equal(1, callback())
        callback:free()
        assert.matches("cannot wait inside a callback of", text)
    end)

    it("names a finalizer, a debug hook and an error handler", function()
        local texts = {}
        local finalized = newproxy(true)
        getmetatable(finalized).__gc = function() texts.gc = message_of(nap) end
        finalized = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert.matches("a finalizer %(__gc%)", texts.gc)
        local function traced()
            local x = 1
            return x
        end
        debug.sethook(function()
            debug.sethook()
            texts.hook = message_of(nap)
        end, "l")
        traced()
        debug.sethook()
        assert.matches("a debug hook", texts.hook)
        -- LuaJIT hides what a handler raises: the log has it.
        assert.same({ false, "error in error handling" }, { xpcall(error, nap, "x") })
    end)

    it("works in whatever LuaJIT runs by itself: further metamethods, tostring, foreach", function()
        local object = setmetatable({}, {
            __unm = nap, __mod = nap, __pow = nap, __div = nap, __sub = nap, __mul = nap, __tostring = nap,
            __newindex = function() nap() end, __le = function() return nap() == "awake" end,
        })
        object.field = 1
        assert.same({ "awake", "awake", "awake", "awake", "awake", "awake", "awake", true }, {
            -object, object % 1, object ^ 1, object / 1, object - 1, object * 1, tostring(object), object <= object,
        })
        assert.equal("awake", table.foreach({ 1 }, nap)) -- luacheck: ignore 143
        assert.same({ true, "awake" }, { pcall(loadstring("return ...")(nap)) })
        assert.equal("awake", select(2, coroutine.resume(coroutine.create(nap))))
    end)

    it("ends a recursion of coroutines that does not end", function()
        local function nest()
            return (coroutine.wrap(nest)())
        end
        assert.matches("more than 50000 coroutines resume each other", (message_of(nest)))
        assert.equal("awake", coroutine.wrap(nap)())
    end)

    it("is refused in a coroutine whose resumer cannot wait, and nothing is left of it", function()
        local core = require("moonloop.core.task")
        local before = core.counts()
        local text = message_of(table.sort, { 2, 1 }, function()
            return coroutine.wrap(function() moonloop.sleep(1000) end)()
        end)
        assert.matches("table%.sort", text)
        assert.equal(before.timers, core.counts().timers)
        text = message_of(table.sort, { 2, 1 }, function()
            return coroutine.wrap(function()
                moonloop.scope(function(s) s:spawn(moonloop.sleep, 1000) end)
            end)()
        end)
        assert.matches("table%.sort", text)
        moonloop.sleep(0)
    end)

    it("is refused for the children of a scope inside such a function, and they are ended", function()
        local child
        local t = moonloop.spawn(function()
            return message_of(table.sort, { 2, 1 }, function()
                moonloop.scope(function(s) child = s:spawn(moonloop.sleep, 1000) end)
            end)
        end)
        assert.matches("table%.sort", (t:wait()))
        assert.equal("cancelled", child.state)
    end)

    it("ends a task that yields by hand with a clear error", function()
        local t = moonloop.spawn(function()
            moonloop.scope(function(s)
                s:spawn(moonloop.sleep, 1000)
                coroutine.yield(1)
            end)
        end)
        assert.matches("coroutine%.yield outside of a coroutine", message_of(t.wait, t))
    end)
end)

describe("a wait that would never end", function()
    it("is refused for oneself and for a task above", function()
        local t
        t = moonloop.spawn(function() t:wait() end)
        assert.matches("waits for itself", message_of(t.wait, t))
        t = moonloop.spawn("top", function()
            moonloop.spawn("low", function() t:wait() end):wait()
        end)
        assert.matches("low waits for top, which it runs under", message_of(t.wait, t))
    end)

    it("is refused in a ring, which the message shows", function()
        local a, b, c
        a = moonloop.spawn("a", function() moonloop.sleep(0) return b:wait() end)
        b = moonloop.spawn("b", function() moonloop.sleep(0) return c:wait() end)
        c = moonloop.spawn("c", function() moonloop.sleep(0) return a:wait() end)
        local text, code = message_of(a.wait, a)
        assert.equal("deadlock", code)
        assert.matches("c waits for a, which waits for b, which waits for c", text)
        pcall(b.wait, b)
        pcall(c.wait, c)
    end)

    it("is refused in a ring that goes through a scope, from either side", function()
        for _, pause in ipairs({ 0, 0.01 }) do
            local a, b
            b = moonloop.spawn("b", function() moonloop.sleep(0.005) return a:wait() end)
            a = moonloop.spawn("a", function()
                moonloop.scope(function(s)
                    s:spawn("inner", function() return b:wait() end)
                    moonloop.sleep(pause)
                end)
            end)
            local text = message_of(a.wait, a)
            assert.matches("never end", text)
            pcall(b.wait, b)
        end
    end)
end)

describe("many tasks", function()
    it("run in the order in which they became ready, whoever is waited for", function()
        local order = {}
        local function note(name)
            return function() order[#order + 1] = name end
        end
        moonloop.spawn(note("a"))
        local b = moonloop.spawn(note("b"))
        moonloop.spawn(function()
            order[#order + 1] = "c"
            moonloop.spawn(note("child of c")):wait() -- after those that were ready before it
            order[#order + 1] = "c again"
        end)
        moonloop.spawn(note("d"))
        b:wait()
        order[#order + 1] = "main"
        moonloop.sleep(0)
        assert.same({ "a", "b", "c", "d", "main", "child of c", "c again" }, order)
    end)

    it("are cancelled, or cancel, while others wait for them", function()
        local waiter
        local other = moonloop.spawn(function() waiter:cancel("by whom it waits for") end)
        local code
        waiter = moonloop.spawn(function()
            code = select(2, message_of(other.wait, other))
            return "went on"
        end)
        -- Both are ready: `other` runs first and cancels one that has not begun.
        assert.equal("cancelled", select(2, message_of(waiter.wait, waiter)))
        assert.is_nil(code)
        waiter = moonloop.spawn(function()
            local canceller = moonloop.spawn(function() waiter:cancel("while it waits") end)
            code = select(2, message_of(canceller.wait, canceller))
            moonloop.sleep(0)
        end)
        assert.equal("cancelled", select(2, message_of(waiter.wait, waiter)))
        assert.equal("cancelled", code)
    end)

    it("do not starve timers when ready ones follow each other for ever", function()
        local is_over = false
        local spinner = moonloop.spawn(function()
            while not is_over do
                moonloop.spawn(function() end):wait()
            end
        end)
        moonloop.sleep(0.01)
        is_over = true
        spinner:wait()
    end)

    it("may be nested deeper than the C stack", function()
        local depth = 0
        local function deeper(n)
            depth = depth + 1
            if n > 0 then
                return moonloop.spawn(deeper, n - 1):wait()
            end
            moonloop.sleep(1000)
        end
        local levels = require("spec.support.server").is_sanitized and 10000 or 20000
        local top = moonloop.spawn(deeper, levels)
        repeat moonloop.sleep(0) until depth == levels + 1
        top:cancel()
        pcall(top.wait, top)
        assert.equal("cancelled", top.state)
    end)
end)
