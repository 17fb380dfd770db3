--- Functions as bytes: what string.dump gives, turned into a factory, so that one prototype yields any number
--- of closures with upvalues of their own.
---
--- Loading a dump gives a single closure. Giving that one other upvalues for each use is not safe: compiled code
--- may have taken the value of an upvalue that is never assigned for a constant. So the dump is spliced into
--- that of a small chunk whose only work is to make a closure of it; each run of the chunk makes a new one.
---
--- The format is LuaJIT's, version 2 (lj_bcdump.h): a head, then each prototype with its length in front,
--- children before parents, then a zero.

local M = {}

local HEAD = "\27LJ\2"
local FLAG_STRIPPED = 0x02
local UPVALUE_LOCAL, UPVALUE_IMMUTABLE = 0x8000, 0x4000

local band, bor, lshift = bit.band, bit.bor, bit.lshift

---A number of 7 bits a byte, least first.
local function read_uleb(bytes, at)
    local value, shift = 0, 0
    while true do
        local byte = bytes:byte(at)
        at = at + 1
        value = bor(value, lshift(band(byte, 0x7f), shift))
        shift = shift + 7
        if byte < 0x80 then
            return value, at
        end
    end
end

---@return integer flags
---@return integer at where the prototypes begin
local function read_head(dump)
    if dump:sub(1, #HEAD) ~= HEAD then
        error("bytecode of an unknown format", 0)
    end
    local flags, at = read_uleb(dump, #HEAD + 1)
    if band(flags, FLAG_STRIPPED) == 0 then
        local len
        len, at = read_uleb(dump, at)
        at = at + len
    end
    return flags, at
end

---Where the last prototype, that of the dumped function itself, has its length; and where its data begins.
local function find_last(dump, at)
    local from, data_from
    while true do
        local len, data = read_uleb(dump, at)
        if len == 0 then
            return from, data_from, at
        end
        from, data_from = at, data
        at = data + len
    end
end

---Points the upvalues of the prototype whose data begins at `at` to the locals 0, 1, ... of its parent.
local function rebase_upvalues(dump, flags, at)
    local count = dump:byte(at + 3)
    local _, next_at = read_uleb(dump, at + 4)
    _, next_at = read_uleb(dump, next_at)
    local instructions, debug_bytes
    instructions, next_at = read_uleb(dump, next_at)
    if band(flags, FLAG_STRIPPED) == 0 then
        debug_bytes, next_at = read_uleb(dump, next_at)
        if debug_bytes > 0 then
            _, next_at = read_uleb(dump, next_at)
            _, next_at = read_uleb(dump, next_at)
        end
    end
    local from, parts = next_at + 4 * instructions, {}
    for i = 0, count - 1 do
        local low, high = dump:byte(from + 2 * i, from + 2 * i + 1)
        local fixed = band(low + 256 * high, UPVALUE_IMMUTABLE)
        local value = bor(UPVALUE_LOCAL, fixed, i)
        parts[#parts + 1] = string.char(band(value, 0xff), bit.rshift(value, 8))
    end
    return dump:sub(1, from - 1) .. table.concat(parts) .. dump:sub(from + 2 * count)
end

---The dump of a chunk that makes a function with `count` upvalues.
local function parent_of(count)
    local names = {}
    for i = 1, count do
        names[i] = "u" .. i
    end
    local list = table.concat(names, ", ")
    return string.dump(loadstring(("local %s\nreturn function() return %s end"):format(list, list), "=offload"))
end

---Loads a dump as a factory: each call of it gives a closure whose upvalues are all nil and its own. A function
---without upvalues is the same closure each time. The environment of the factory is that of the closures.
---@param dump string what string.dump gave, not stripped
---@param count integer upvalues of the function
---@return function factory
function M.factory(dump, count)
    if count == 0 then
        local fn = assert(loadstring(dump))
        local function constant()
            return fn
        end
        return constant, fn
    end
    local flags, at = read_head(dump)
    local _, data, stop = find_last(dump, at)
    local children = rebase_upvalues(dump, flags, data)
    local parent = parent_of(count)
    local parent_flags, parent_at = read_head(parent)
    local parent_last, _, parent_stop = find_last(parent, parent_at)
    local head = HEAD .. string.char(bor(flags, band(parent_flags, bit.bnot(FLAG_STRIPPED))))
    local spliced = head .. children:sub(#HEAD + 2, stop - 1) .. parent:sub(parent_last, parent_stop)
    local factory = assert(loadstring(spliced))
    return factory, factory
end

return M
