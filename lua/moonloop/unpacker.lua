--- Messages of transfer.lua become values again, in another VM than the one that made them.

local buffer = require("string.buffer")
local bytecode = require("moonloop.util.bytecode")

local M = {}

local PLAIN = 0
local into = buffer.new()

---@class moonloop.Unpacker
---@field get fun(number: integer): string
---@field env_of fun(app: string): table the environment for functions of an app
---@field factories table
local Unpacker = {}
Unpacker.__index = Unpacker

---@param get fun(number: integer): string
---@param env_of fun(app: string): table
---@param on_head? fun(number: integer) called when the head of a message is not that of the last one
---@return moonloop.Unpacker
function M.new(get, env_of, on_head)
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

function Unpacker:make(object)
    local env = object.app and self.env_of(object.app) or _G
    local args = buffer.decode(object.args)
    return env.require(object.made)[object.field](unpack(args, 1, args.n))
end

function Unpacker:create(object, parts)
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
    elseif object.part then
        return parts[object.part]
    elseif object.made then
        return self:make(object)
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

function Unpacker:build(objects, parts)
    local values = {}
    for number, object in ipairs(objects) do
        values[number] = self:create(object, parts)
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

---What transfer.pack of the other side was given.
---@param message string
---@param parts? string[] big strings
---@return any first
---@return any ... the others
function Unpacker:unpack(message, parts)
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
    local values, built = {}, self:build(objects, parts)
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
