--- Lets code that waits run inside coroutines of the user's own (coroutine.wrap iterators): a wait in
--- one yields a marker to whoever resumed it, and the resume functions put in place here pass the
--- marker on, up to the task, and the answer back down.

local core = require("moonloop.core.task")

local M = {}

---Replaces `coroutine.resume` and `coroutine.wrap` of this VM. Once, before any user code is loaded.
function M.install()
    local raw_resume, raw_yield, create = coroutine.resume, coroutine.yield, coroutine.create
    local marker = core.wait_marker()
    local pass

    local function answer(co, ...)
        return pass(co, raw_resume(co, ...))
    end

    function pass(co, ok, ...)
        if ok and (...) == marker then
            return answer(co, raw_yield(marker))
        end
        return ok, ...
    end

    local function raise_or_return(ok, ...)
        if ok then
            return ...
        end
        error((...), 0)
    end

    ---@diagnostic disable-next-line: duplicate-set-field
    function coroutine.resume(co, ...)
        return pass(co, raw_resume(co, ...))
    end

    ---@diagnostic disable-next-line: duplicate-set-field
    function coroutine.wrap(fn)
        local co = create(fn)
        return function(...)
            return raise_or_return(pass(co, raw_resume(co, ...)))
        end
    end
end

return M
