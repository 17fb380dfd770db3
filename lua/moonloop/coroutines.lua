--- Lets code that waits run inside coroutines of the user's own (coroutine.wrap iterators): a wait in
--- one yields a marker to whoever resumed it, and the resume functions put in place here pass the
--- marker on, up to the task, and the answer back down.

local core = require("moonloop.core.task")

local M = {}

-- Each takes 80 bytes of the C stack, which LuaJIT does not watch: a recursion that never ends would crash.
local DEPTH_MAX = 50000

---Replaces `coroutine.resume` and `coroutine.wrap` of this VM. Once, before any user code is loaded.
function M.install()
    local raw_resume, raw_yield, create = coroutine.resume, coroutine.yield, coroutine.create
    local marker, taken = core.wait_marker(), core.coroutines()
    local depth = 0
    local pass

    local function answer(co, ...)
        taken[co] = nil
        depth = depth + 1
        return pass(co, raw_resume(co, ...))
    end

    function pass(co, ok, ...)
        depth = depth - 1
        if ok and (...) == marker then
            if not core.can_wait() then
                return answer(co, core.refuse_wait())
            end
            taken[co] = true -- until the answer is there, nobody else may resume it
            return answer(co, raw_yield(marker))
        end
        return ok, ...
    end

    local function resume(co, ...)
        if co ~= nil and taken[co] then
            return false, "cannot resume a coroutine that is a task or in which a task waits"
        elseif depth >= DEPTH_MAX then
            return false, ("more than %d coroutines resume each other: endless recursion?"):format(DEPTH_MAX)
        end
        depth = depth + 1
        return pass(co, raw_resume(co, ...))
    end

    local function raise_or_return(ok, ...)
        if ok then
            return ...
        end
        error((...), 0)
    end

    -- luacheck: push ignore 122 (the point of this file)
    ---@diagnostic disable-next-line: duplicate-set-field
    coroutine.resume = resume

    ---@diagnostic disable-next-line: duplicate-set-field
    function coroutine.wrap(fn)
        local co = create(fn)
        return function(...)
            return raise_or_return(resume(co, ...))
        end
    end
    -- luacheck: pop
end

return M
