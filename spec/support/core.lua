--- C units for specs: declares an ffi-clean header and finds its functions.
---
--- Inside the moonloop binary the functions are symbols of the process; under a plain LuaJIT they come
--- from build/libcore.so (cmake --build build --target core_so).

local ffi = require("ffi")

local M = {}

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)spec/support/core%.lua$")
if ROOT == "" then
    ROOT = "./"
end
M.root = ROOT

local declared = {}

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

--- Leaves declarations only: no comments, preprocessor lines, inline bodies or static assertions.
local function clean(text)
    text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", "")
    text = text:gsub("\\\n", " ")
    text = ("\n" .. text):gsub("\n[ \t]*#[^\n]*", "\n")
    text = text:gsub("\nstatic%s+inline[^{;]*%b{}", "\n")
    text = text:gsub("_Static_assert%s*%b();", "")
    text = text:gsub("__attribute__%s*%b()", "")
    text = text:gsub("_Atomic%s*(%b())", function(inner)
        return inner:sub(2, -2)
    end)
    return (text:gsub("_Atomic%s+", ""))
end

---Declares `header` (relative to core/) and, before it, the project headers that it includes.
---@param header string "http/router.h"
function M.declare(header)
    if declared[header] then
        return
    end
    declared[header] = true
    local text = read(ROOT .. "core/" .. header)
    for included in text:gmatch('#%s*include%s+"([^"]+)"') do
        M.declare(included)
    end
    local ok, err = pcall(ffi.cdef, clean(text))
    if not ok then
        error(header .. ": " .. tostring(err), 2)
    end
end

M.declare("base/str.h")

--- In the process when it is moonloop, else the library of leaf units.
M.lib = ffi.C
if not pcall(function()
    return ffi.C.str_equal
end) then
    M.lib = ffi.load(os.getenv("MOONLOOP_LIBCORE") or (ROOT .. "build/libcore.so"))
end

ffi.cdef("void *malloc(size_t); void free(void *);")

--- A copy on the C heap, of exactly the right size: a sanitizer sees a read beyond its end.
---@param text string
---@return ffi.cdata* a struct str, its bytes freed with it
function M.str(text)
    local bytes = ffi.C.malloc(#text)
    ffi.copy(bytes, text, #text)
    return ffi.gc(ffi.new("struct str", ffi.cast("char *", bytes), #text), function(str)
        ffi.C.free(ffi.cast("void *", str.ptr))
    end)
end

---Makes a C module loadable under a plain LuaJIT, where no package.preload has it.
---@param name string "moonloop.core.json"
function M.preload(name)
    if not package.preload[name] then
        local path = os.getenv("MOONLOOP_LIBCORE") or (ROOT .. "build/libcore.so")
        package.preload[name] = assert(package.loadlib(path, "luaopen_" .. name:gsub("%.", "_")))
    end
end

---@param str ffi.cdata* a struct str
---@return string
function M.text(str)
    return ffi.string(str.ptr, str.len)
end

return M
