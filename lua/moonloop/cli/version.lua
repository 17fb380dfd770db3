--- `moonloop version`: moonloop and each library in use, as loaded now.

local ffi = require("ffi")

ffi.cdef([[
const char *uv_version_string(void);
const char *OpenSSL_version(int what);
const char *ares_version(int *number);
const char *command_line_llhttp_version(void);
]])

local M = {}

---A library that this build does not link has no symbol.
local function call(name, ...)
    local ok, text = pcall(function(...)
        return ffi.string(ffi.C[name](...))
    end, ...)
    return ok and text or nil
end

---@param version string of moonloop
---@return { name: string, version: string }[]
function M.list(version)
    local openssl = call("OpenSSL_version", 0)
    return {
        { name = "moonloop", version = version },
        { name = "libuv", version = call("uv_version_string") or "not linked" },
        { name = "LuaJIT", version = (jit.version:gsub("^LuaJIT ", "")) },
        { name = "llhttp", version = call("command_line_llhttp_version") or "not linked" },
        { name = "c-ares", version = call("ares_version", nil) or "not linked" },
        { name = "OpenSSL", version = openssl and openssl:match("^OpenSSL (%S+)") or "not linked" },
    }
end

---@param version string of moonloop
---@param is_json? boolean
---@return integer exit_code
function M.run(version, is_json)
    local list = M.list(version)
    if is_json then
        local parts = {}
        for i, entry in ipairs(list) do
            parts[i] = ('"%s":"%s"'):format(entry.name, entry.version)
        end
        io.stdout:write("{", table.concat(parts, ","), "}\n")
        return 0
    end
    for _, entry in ipairs(list) do
        io.stdout:write(("%-10s %s\n"):format(entry.name, entry.version))
    end
    return 0
end

return M
