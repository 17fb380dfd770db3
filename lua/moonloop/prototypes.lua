--- The bytecode of functions that travel to other VMs, dumped once for each prototype.

local funcinfo = require("jit.util").funcinfo

local M = {}

-- What is known of a function: { count =, label =, number =, bytes =, is_put = }. By prototype, so that closures
-- made again and again are one; by closure as well, which is quicker.
local by_closure = setmetatable({}, { __mode = "k" })
local by_proto = setmetatable({}, { __mode = "k" })

local function describe(fn)
    local info = debug.getinfo(fn, "uS")
    return { count = info.nups, label = info.short_src .. ":" .. info.linedefined }
end

local function bytes_of(fn, known)
    return string.char(known.count) .. string.dump(fn)
end

---What there is of a Lua function: its upvalues' count, where it begins, and its bytecode, either as bytes or as the
---number by which `put` keeps it for the other side.
---@param fn function
---@param put? fun(bytes: string): integer? nil: the bytes themselves are wanted
---@return { number: integer?, bytes: string?, count: integer, label: string }
function M.of(fn, put)
    local known = by_closure[fn]
    if not known then
        local proto = funcinfo(fn).proto
        known = by_proto[proto] or describe(fn)
        by_proto[proto], by_closure[fn] = known, known
    end
    if put and not known.is_put then
        known.number, known.is_put = put(bytes_of(fn, known)), true
    end
    if not known.bytes and not (put and known.number) then
        known.bytes = bytes_of(fn, known)
    end
    return known
end

return M
