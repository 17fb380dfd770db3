--- Values as bytes between two VMs: everything is copied. Plain values go straight through LuaJIT's
--- string.buffer. A graph with functions, metatables, cycles or shared parts is taken apart into numbered
--- objects first, and put together again on the other side with the same sharing.
---
--- What is loaded on both sides travels by name: modules, and functions and classes that are fields of one.
--- Functions of apps travel as bytecode with their upvalues; a variable that two of them share stays shared.

local buffer = require("string.buffer")
local bytecode = require("moonloop.util.bytecode")
local environment = require("moonloop.environment")
local funcinfo = require("jit.util").funcinfo

local M = {}

local getupvalue, upvalueid = debug.getupvalue, debug.upvalueid
local names = require("moonloop.names")
local find_name = names.find

local SCALARS = { ["nil"] = true, boolean = true, number = true, string = true }
local NOUNS = { thread = "coroutine", cdata = "cdata value" }

---@class moonloop.transfer.Side
---@field put fun(bytes: string): integer? keeps the bytecode of a function for the other side
---@field get fun(number: integer): string what the other side has put

-- ---- taking apart ----

-- Where a function's bytecode is: { number = } or { bytes = }. By prototype, so that closures made again and
-- again are one; by closure as well, which is quicker.
local by_closure = setmetatable({}, { __mode = "k" })
local by_proto = setmetatable({}, { __mode = "k" })

local function dump(fn, put)
    local info = debug.getinfo(fn, "uS")
    local bytes = string.char(info.nups) .. string.dump(fn)
    local number = put and put(bytes)
    return {
        number = number, bytes = not number and bytes or nil, count = info.nups,
        label = info.short_src .. ":" .. info.linedefined,
    }
end

---@return { number: integer?, bytes: string?, count: integer, label: string }
local function prototype(fn, put)
    local known = by_closure[fn]
    if known then
        return known
    end
    local proto = funcinfo(fn).proto
    known = by_proto[proto]
    if not known then
        known = dump(fn, put)
        by_proto[proto] = known
    end
    by_closure[fn] = known
    return known
end

---@class moonloop.transfer.Packer
local Packer = {}
Packer.__index = Packer

local function describe(trail)
    return table.concat(trail):gsub("^[.,] ?", "")
end

function Packer:refuse(noun)
    error({ refused = ("%s: cannot send a %s to a thread"):format(describe(self.trail), noun) }, 0)
end

function Packer:add_below(step, value)
    local trail = self.trail
    trail[#trail + 1] = step
    local number = self:add(value)
    trail[#trail] = nil
    return number
end

local function step_of(key)
    if type(key) == "string" and key:match("^[%a_][%w_]*$") then
        return "." .. key
    end
    return "[" .. (type(key) == "string" and ("%q"):format(key) or tostring(key)) .. "]"
end

local function is_scalar(value)
    return SCALARS[type(value)] or (type(value) == "cdata" and tonumber(value) ~= nil)
        or (type(value) == "userdata" and value == require("moonloop.json").null)
end

---A scalar as { value }, anything else as { nil, number }.
function Packer:box(step, value)
    if is_scalar(value) then
        return { value }
    end
    return { nil, self:add_below(step, value) }
end

function Packer:fill_table(object, value)
    local meta = debug.getmetatable(value)
    if meta then
        object.meta = self:add_below(", metatable", meta)
    end
    local scalars, refs, odd = {}, nil, nil
    for key, item in next, value do
        if not is_scalar(key) then
            odd = odd or {}
            local boxed = self:box(", key", key)
            odd[#odd + 1] = { boxed, self:box(step_of(key), item) }
        elseif is_scalar(item) then
            scalars[key] = item
        else
            refs = refs or {}
            refs[key] = self:add_below(step_of(key), item)
        end
    end
    object.scalars, object.refs, object.odd = scalars, refs, odd
end

function Packer:fill_function(object, fn, number)
    local proto = prototype(fn, self.put)
    object.proto, object.bytes = proto.number, proto.bytes
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
                refs[i] = self:add_below((", upvalue '%s'"):format(name), value)
            end
        end
    end
    object.scalars, object.refs, object.joins = scalars, refs, joins
end

---@return integer number of the object
function Packer:add(value)
    local number = self.seen[value]
    if number then
        return number
    end
    number = #self.objects + 1
    self.seen[value] = number
    local object = find_name(value) or {}
    self.objects[number] = object
    if object.module or object.globals then
        return number
    end
    local kind = type(value)
    if kind == "table" then
        object.kind = "table"
        self:fill_table(object, value)
    elseif kind == "function" then
        if not funcinfo(value).proto then
            self:refuse("C function")
        end
        object.kind = "function"
        self:fill_function(object, value, number)
    else
        self:refuse(NOUNS[kind] or kind)
    end
    return number
end

---Whether string.buffer alone does: a tree of plain tables. `seen` is shared by all values of one message.
local function is_plain(value, seen)
    if type(value) ~= "table" then
        return is_scalar(value)
    end
    if seen[value] or debug.getmetatable(value) or find_name(value) then
        return false
    end
    seen[value] = true
    for key, item in next, value do
        if not is_scalar(key) or not (SCALARS[type(item)] or is_plain(item, seen)) then
            return false
        end
    end
    return true
end

local PLAIN, GRAPH = 0, 1
local out, into = buffer.new(), buffer.new()
local head = 0 -- goes in front of every message; see M.set_head

---A number that each message carries to Unpacker.on_head of the other side.
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
        if not SCALARS[type(value)] then
            seen = seen or {}
            if not is_plain(value, seen) then
                return false
            end
        end
    end
    return true
end

---The steps to a value in a message are told by what it is: a function's upvalues, or a value by its place.
local function pack_graph(put, noun, first, count, ...)
    names.refresh()
    local packer = setmetatable({ objects = {}, seen = {}, cells = {}, trail = {}, put = put }, Packer)
    local boxes = { packer:box("", first) }
    for i = 1, count do
        boxes[i + 1] = packer:box((", %s %d"):format(noun, i), (select(i, ...)))
    end
    out:reset():encode(head):encode(GRAPH):encode(packer.objects):encode(boxes):encode(count)
    return out:get()
end

local function finish_graph(ok, result)
    if ok then
        return result
    end
    if type(result) == "table" and result.refused then
        return nil, result.refused
    end
    error(result, 0)
end

---A message of a first value, which is a scalar or a function, and others after it.
---@param put? fun(bytes: string): integer?
---@param noun string what the others are called in errors: "argument"
---@param first any
---@param count integer of the others
---@return string? message nil when a value cannot be sent
---@return string? reason
function M.pack(put, noun, first, count, ...)
    if type(first) ~= "function" and are_plain(count, ...) then
        return pack_plain(first, count, ...)
    end
    if type(first) == "function" and not find_name(first) and funcinfo(first).proto then
        local proto = prototype(first, put)
        if proto.count == 0 and proto.number and are_plain(count, ...) then
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

-- ---- putting together ----

---@class moonloop.transfer.Unpacker
---@field get fun(number: integer): string
---@field env_of fun(app: string): table the environment for functions of an app
---@field resolve fun(module: string, field: string?, app: string?): any
---@field factories table
local Unpacker = {}
Unpacker.__index = Unpacker

---@param get fun(number: integer): string
---@param env_of fun(app: string): table
---@param on_head? fun(number: integer) called when the head of a message is not that of the last one
---@return moonloop.transfer.Unpacker
function M.unpacker(get, env_of, on_head)
    return setmetatable({ get = get, env_of = env_of, on_head = on_head, head = 0, factories = {} }, Unpacker)
end

function Unpacker:load(bytes, app)
    local factory, chunk = bytecode.factory(bytes:sub(2), bytes:byte())
    setfenv(chunk, app and self.env_of(app) or _G)
    return factory
end

---A closure of the prototype with this number; with upvalues it is a new one each time.
function Unpacker:closure(number, bytes, app)
    if bytes then
        return self:load(bytes, app)()
    end
    local key = app or false
    local factories = self.factories[key]
    if not factories then
        factories = {}
        self.factories[key] = factories
    end
    local factory = factories[number]
    if not factory then
        factory = self:load(self.get(number), app)
        factories[number] = factory
    end
    return factory()
end

function Unpacker:create(object)
    if object.globals then
        return self.env_of(object.globals)
    elseif object.module then
        local env = object.app and self.env_of(object.app) or _G
        local value = env.require(object.module)
        if object.field then
            value = value[object.field]
        end
        if value == nil then
            error(("module %q has no field %q on a thread"):format(object.module, tostring(object.field)), 0)
        end
        return value
    elseif object.kind == "table" then
        return object.scalars
    end
    return self:closure(object.proto, object.bytes, object.app)
end

local function connect_table(value, object, values)
    for key, number in pairs(object.refs or {}) do
        value[key] = values[number]
    end
    for _, pair in ipairs(object.odd or {}) do
        local key, item = pair[1], pair[2]
        key = key[2] and values[key[2]] or key[1]
        if item[2] then
            item = values[item[2]]
        else
            item = item[1]
        end
        value[key] = item
    end
end

local function connect_function(fn, object, values)
    for i, value in pairs(object.scalars or {}) do
        debug.setupvalue(fn, i, value)
    end
    for i, number in pairs(object.refs or {}) do
        debug.setupvalue(fn, i, values[number])
    end
    for _, join in ipairs(object.joins or {}) do
        debug.upvaluejoin(fn, join[1], values[join[2]], join[3])
    end
end

function Unpacker:build(objects)
    local values = {}
    for number, object in ipairs(objects) do
        values[number] = self:create(object)
    end
    for number, object in ipairs(objects) do
        if object.kind == "table" then
            connect_table(values[number], object, values)
        elseif object.kind == "function" then
            connect_function(values[number], object, values)
        end
    end
    for number, object in ipairs(objects) do -- last: no metamethod may see half a value
        if object.meta then
            debug.setmetatable(values[number], values[object.meta])
        end
    end
    return values
end

local function unpack_plain(self)
    local first, count = into:decode(), into:decode()
    if type(first) == "table" then
        first = self:closure(first[1], nil, first[2])
    end
    if count == 0 then
        return first
    elseif count == 1 then
        return first, into:decode()
    end
    local values = {}
    for i = 1, count do
        values[i] = into:decode()
    end
    return first, unpack(values, 1, count)
end

---What M.pack of the other side was given.
---@param message string
---@return any first
---@return any ... the others
function Unpacker:unpack(message)
    into:set(message)
    local number = into:decode()
    if number ~= self.head and self.on_head then
        self.on_head(number)
        self.head = number
        into:set(message):decode() -- the callback may have used the buffer
    end
    if into:decode() == PLAIN then
        return unpack_plain(self)
    end
    local objects, boxes, count = into:decode(), into:decode(), into:decode()
    local values, built = {}, self:build(objects)
    for i = 1, count + 1 do
        local box = boxes[i]
        if box[2] then
            values[i] = built[box[2]]
        else
            values[i] = box[1]
        end
    end
    return unpack(values, 1, count + 1)
end

return M
