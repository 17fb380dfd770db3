--- Keeps from app code what would blind the watchdog (core/script/watchdog.c): the debug hook, the
--- switch of the compiler, LuaJIT's profiler, and error handlers that run inside the hook which interrupts.

local function refuse(what)
    return function()
        error(what .. " is not available in a server with a block_limit: it is how code that never ends "
            .. "is interrupted", 2)
    end
end

local protected_call = xpcall
local guarded = setmetatable({}, { __mode = "kv" })

---LuaJIT runs the handler of an xpcall where the error is raised: for an interruption that is inside the
---hook, and what runs there cannot be interrupted any more. Such an error does without its handler.
---@param handler function
---@param is_interrupting fun(): boolean
---@return function
local function guard_handler(handler, is_interrupting)
    local guard = guarded[handler]
    if guard == nil then
        guard = function(...)
            if is_interrupting() then
                return (...)
            end
            return handler(...)
        end
        guarded[handler] = guard
    end
    return guard
end

---@diagnostic disable: duplicate-set-field
---@param is_interrupting fun(): boolean whether the watchdog is ending what runs now
return function(is_interrupting)
    _G.xpcall = function(fn, handler, ...)
        if type(handler) == "function" then
            handler = guard_handler(handler, is_interrupting)
        end
        return protected_call(fn, handler, ...)
    end
    debug.sethook = refuse("debug.sethook")
    package.loaded["jit.profile"] = nil
    package.preload["jit.profile"] = refuse("jit.profile")
    for _, name in ipairs({ "on", "off", "flush" }) do
        local original = jit[name]
        ---For a function as ever; the whole VM's compiler is the server's to switch.
        jit[name] = function(fn, ...)
            if fn ~= nil then
                return original(fn, ...)
            end
        end
    end
end
