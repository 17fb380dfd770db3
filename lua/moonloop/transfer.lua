--- Values as bytes between two VMs: everything is copied. Plain values go straight through LuaJIT's
--- string.buffer. A graph with functions, metatables, cycles or shared parts is taken apart into numbered
--- objects first; unpacker.lua puts it together again on the other side, with the same sharing.
---
--- What is loaded on both sides travels by name: modules, and functions and classes that are fields of one.
--- Functions of apps travel as bytecode with their upvalues; a variable that two of them share stays shared.
---
--- An object whose metatable has a function `__transfer` is made anew on the other side: the function gives a
--- module, the name of a function in it, and plain arguments for that. `__transfer = false` refuses: a copy of a
--- mutex locks nobody out.
---
--- Big strings stay out of the encoding, where each would be copied twice more on either side: they are listed
--- beside the message and copied once into what travels and once out of it (core/script/parcel.h).

local buffer = require("string.buffer")
local environment = require("moonloop.environment")
local funcinfo = require("jit.util").funcinfo
local prototype = require("moonloop.prototypes").of
local serial = require("moonloop.util.serial")
local show_key = require("moonloop.util.plain").show_key

local ffi = require("ffi")

local M = {}

local istype, INT64, UINT64 = ffi.istype, ffi.typeof("int64_t"), ffi.typeof("uint64_t")
local MAX_PLAIN_DEPTH = 50 -- string.buffer has a limit; graphs have none

local getupvalue, upvalueid = debug.getupvalue, debug.upvalueid
local names = require("moonloop.names")
local find_name = names.find

local BIG_BYTES = 16384 -- strings from here on go beside the message
local MAX_CTYPE_BYTES = 60
local SCALARS = { ["nil"] = true, boolean = true, number = true }
local NOUNS = { thread = "coroutine" }

---@class moonloop.transfer.Side
---@field put fun(bytes: string): integer? keeps the bytecode of a function for the other side
---@field get fun(number: integer): string what the other side has put

---@class moonloop.transfer.Packer
---@field put? fun(bytes: string): integer?
---@field objects table[] what is sent
---@field values any[] by number of object
---@field seen table<any, integer> number of object by value
---@field parts string[] big strings
---@field cells table the first object and upvalue that has a variable
---@field parents integer[] by number of object: that which led to it; 0 for the message itself
---@field steps table how the parent led to it: a name of STEPS
---@field keys table and which key, name or place
local Packer = {}
Packer.__index = Packer

-- Parts of the way to a value that cannot be sent.
local STEPS = {
    first = function()
        return ""
    end,
    key = show_key,
    tablekey = function()
        return ", key"
    end,
    metatable = function()
        return ", metatable"
    end,
    upvalue = function(name)
        return (", upvalue '%s'"):format(name)
    end,
    argument = function(place)
        return ", argument " .. place
    end,
    value = function(place)
        return ", value " .. place
    end,
    result = function(place)
        return ", result " .. place
    end,
    error = function()
        return ", error"
    end,
}

---The name of an object's class.
local function class_of(value)
    local meta = debug.getmetatable(value)
    return type(value) == "table" and type(meta) == "table" and rawget(meta, "__name") or nil
end

---@param reason? string
function Packer:refuse(number, noun, reason)
    local parts, parent = {}, self.parents[number]
    local class = parent ~= 0 and self.steps[number] == "key" and class_of(self.values[parent])
    if class then -- what an object is made of says little to who uses it
        number, noun = parent, class
    end
    while number ~= 0 do
        table.insert(parts, 1, STEPS[self.steps[number]](self.keys[number]))
        number = self.parents[number]
    end
    local way = table.concat(parts):gsub("^, ", "")
    error({ refused = ("%s: cannot send a %s to another VM%s"):format(way, noun, reason or "") }, 0)
end

---The number of the object for a value; new ones are filled later, so that no depth is too deep.
---@return integer
function Packer:add(value, parent, step, key)
    local number = self.seen[value]
    if number then
        return number
    end
    number = #self.values + 1
    self.seen[value] = number
    self.values[number] = value
    self.parents[number], self.steps[number], self.keys[number] = parent, step, key
    return number
end

local function is_scalar(value)
    local kind = type(value)
    if kind == "string" then
        return #value < BIG_BYTES
    end
    return SCALARS[kind] or (kind == "cdata" and (istype(INT64, value) or istype(UINT64, value)))
        or (kind == "userdata" and value == require("moonloop.json").null)
end

---A scalar as { value }, anything else as { nil, number }.
function Packer:box(value, parent, step, key)
    if is_scalar(value) then
        return { value }
    end
    return { nil, self:add(value, parent, step, key) }
end

function Packer:fill_table(object, value, number)
    local meta = debug.getmetatable(value)
    if meta then
        object.meta = self:add(meta, number, "metatable")
    end
    local scalars, refs, odd = {}, nil, nil
    for key, item in next, value do
        if not is_scalar(key) then
            odd = odd or {}
            odd[#odd + 1] = { self:box(key, number, "tablekey"), self:box(item, number, "key", key) }
        elseif is_scalar(item) then
            scalars[key] = item
        else
            refs = refs or {}
            refs[key] = self:add(item, number, "key", key)
        end
    end
    object.scalars, object.refs, object.odd = scalars, refs, odd
end

function Packer:fill_function(object, fn, number)
    local proto = prototype(fn, self.put)
    if self.put and proto.number then
        object.proto = proto.number
    else
        object.bytes = proto.bytes
    end
    object.app = environment.app_of(getfenv(fn))
    if proto.count == 0 then
        return
    end
    local scalars, refs, joins = {}, nil, nil
    for i = 1, proto.count do
        local name, value = getupvalue(fn, i)
        local cell = upvalueid(fn, i)
        local known = self.cells[cell]
        if known then
            joins = joins or {}
            joins[#joins + 1] = { i, known[1], known[2] }
        else
            self.cells[cell] = { number, i }
            if is_scalar(value) then
                scalars[i] = value
            else
                refs = refs or {}
                refs[i] = self:add(value, number, "upvalue", name)
            end
        end
    end
    object.scalars, object.refs, object.joins = scalars, refs, joins
end

---What the class of a value says about sending it: a function, false, or nothing.
local function transfer_of(value)
    local meta = debug.getmetatable(value)
    if type(meta) == "table" then
        return rawget(meta, "__transfer")
    end
end

---An object that is made anew by what its class's __transfer has said.
function Packer:fill_made(number, how, module, field, ...)
    local ok, args = pcall(serial.encode, { n = select("#", ...), ... })
    if not ok or type(module) ~= "string" or type(field) ~= "string" then
        self:refuse(number, class_of(self.values[number]) or type(self.values[number]),
            ": its __transfer has to give the names of a module and of a function in it, then plain values")
    end
    return { made = module, field = field, app = environment.app_of(getfenv(how)), args = args }
end

local function noun_of(value)
    if type(value) ~= "cdata" then
        return NOUNS[type(value)] or type(value)
    end
    return "cdata value (" .. tostring(ffi.typeof(value)):match("^ctype<(.*)>$"):sub(1, MAX_CTYPE_BYTES) .. ")"
end

---@return table object
function Packer:fill(value, number)
    if type(value) == "string" then
        local place = #self.parts + 1
        self.parts[place] = value
        return { part = place }
    end
    local name = find_name(value)
    if name then
        return name
    end
    local how = transfer_of(value)
    if how then
        return self:fill_made(number, how, how(value))
    elseif how == false then
        self:refuse(number, class_of(value) or type(value) .. " of this kind")
    end
    local kind, object = type(value), {}
    object.kind = kind
    if kind == "table" then
        self:fill_table(object, value, number)
    elseif kind == "function" then
        if not funcinfo(value).proto then
            self:refuse(number, "C function")
        end
        self:fill_function(object, value, number)
    else
        self:refuse(number, noun_of(value))
    end
    return object
end

function Packer:fill_all()
    local number = 1
    while self.values[number] ~= nil do
        self.objects[number] = self:fill(self.values[number], number)
        number = number + 1
    end
end

---Whether string.buffer alone does: a tree of plain tables. `seen` is shared by all values of one message.
local function is_plain(value, seen, depth)
    if type(value) ~= "table" then
        return is_scalar(value)
    end
    if depth > MAX_PLAIN_DEPTH or seen[value] or debug.getmetatable(value) or find_name(value) then
        return false
    end
    seen[value] = true
    for key, item in next, value do
        if not is_scalar(key) or not (is_scalar(item) or is_plain(item, seen, depth + 1)) then
            return false
        end
    end
    return true
end

local PLAIN, GRAPH = 0, 1 -- unpacker.lua knows them too
local out = buffer.new()
local head = 0 -- goes in front of every message; see M.set_head

---A number that each message carries to unpacker.new's on_head on the other side.
---@param number integer
function M.set_head(number)
    head = number
end

local function pack_plain(first, count, ...)
    out:reset():encode(head):encode(PLAIN):encode(first):encode(count)
    for i = 1, count do
        out:encode((select(i, ...)))
    end
    return out:get()
end

local function are_plain(count, ...)
    local seen
    for i = 1, count do
        local value = select(i, ...)
        if not is_scalar(value) then
            seen = seen or {}
            if not is_plain(value, seen, 1) then
                return false
            end
        end
    end
    return true
end

local function pack_graph(put, noun, first, count, ...)
    names.refresh()
    local packer = setmetatable({
        put = put, objects = {}, values = {}, seen = {}, cells = {}, parents = {}, steps = {}, keys = {}, parts = {},
    }, Packer)
    local boxes = { packer:box(first, 0, "first") }
    for i = 1, count do
        boxes[i + 1] = packer:box((select(i, ...)), 0, noun, i)
    end
    packer:fill_all()
    out:reset():encode(head):encode(GRAPH):encode(packer.objects):encode(boxes):encode(count)
    return out:get(), packer.parts[1] and packer.parts
end

local function finish_graph(ok, result, parts)
    if ok then
        return result, parts
    end
    if type(result) == "table" and result.refused then
        return nil, result.refused
    end
    error(result, 0)
end

---A message of a first value, which is a scalar or a function, and others after it.
---@param put? fun(bytes: string): integer?
---@param noun "argument"|"result"|"error"|"value" what the others are called when one cannot be sent
---@param first any
---@param count integer of the others
---@return string? message nil when a value cannot be sent
---@return string[]|string? parts big strings, if any; why, without a message
function M.pack(put, noun, first, count, ...)
    if type(first) ~= "function" and are_plain(count, ...) then
        return pack_plain(first, count, ...)
    end
    if type(first) == "function" and not find_name(first) and funcinfo(first).proto then
        local proto = prototype(first, put)
        if put and proto.count == 0 and proto.number and are_plain(count, ...) then
            local app = environment.app_of(getfenv(first))
            return pack_plain(app and { proto.number, app } or { proto.number }, count, ...)
        end
    end
    return finish_graph(pcall(pack_graph, put, noun, first, count, ...))
end

---"apps/a.lua:12": where a Lua function begins.
function M.label(fn, put)
    return funcinfo(fn).proto and prototype(fn, put).label or "a C function"
end

return M
