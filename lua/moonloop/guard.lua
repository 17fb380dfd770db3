--- Keeps from app code what would blind the watchdog (core/script/watchdog.c): the debug hook, the
--- switch of the compiler, and LuaJIT's profiler.

local function refuse(what)
    return function()
        error(what .. " is not available in a server with a block_limit: it is how code that never ends "
            .. "is interrupted", 2)
    end
end

---@diagnostic disable: duplicate-set-field
return function()
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
