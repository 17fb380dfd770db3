--- Finds globals that a Lua file reads or writes and nobody declared, in its compiled bytecode: exact about
--- scopes, and it runs nothing.

local jit_util = require("jit.util")
local vmdef = require("jit.vmdef")
local bit = require("bit")

local M = {}

local NAME_BYTES = 6 -- of one opcode's name in vmdef.bcnames

--- What LuaJIT has, and so what an app has.
local known = {}
for name in ([[_G _VERSION assert bit collectgarbage coroutine debug dofile error gcinfo getfenv getmetatable io
    ipairs jit load loadfile loadstring math module newproxy next os package pairs pcall print rawequal
    rawget rawlen rawset require select setfenv setmetatable string table tonumber tostring type
    unpack xpcall]]):gmatch("%S+") do
    known[name] = true
end

local verbs = {}
for number = 0, #vmdef.bcnames / NAME_BYTES - 1 do
    local name = vmdef.bcnames:sub(number * NAME_BYTES + 1, (number + 1) * NAME_BYTES):match("^%w+")
    if name == "GGET" then
        verbs[number] = "read"
    elseif name == "GSET" then
        verbs[number] = "written"
    end
end

---@class moonloop.cli.GlobalUse
---@field line integer
---@field name string
---@field verb string "read" or "written"

---@param proto any a function, or a prototype as jit.util gives it
---@param found moonloop.cli.GlobalUse[]
local function scan(proto, found)
    local pc = 1
    local instruction = jit_util.funcbc(proto, pc)
    while instruction do
        local verb = verbs[bit.band(instruction, 0xff)]
        if verb then
            local name = jit_util.funck(proto, -bit.rshift(instruction, 16) - 1)
            if not known[name] then
                local line = jit_util.funcinfo(proto, pc).currentline
                found[#found + 1] = { line = line, name = name, verb = verb }
            end
        end
        pc = pc + 1
        instruction = jit_util.funcbc(proto, pc)
    end
    local index = -1
    local constant = jit_util.funck(proto, index)
    while constant ~= nil do
        if type(constant) == "proto" then
            scan(constant, found)
        end
        index = index - 1
        constant = jit_util.funck(proto, index)
    end
end

---@param chunk function a compiled file that was not stripped
---@return moonloop.cli.GlobalUse[] uses by line; each name once a line and verb
function M.undeclared(chunk)
    local found, uses, seen = {}, {}, {}
    scan(chunk, found)
    for _, use in ipairs(found) do
        local key = use.line .. use.verb .. use.name
        if not seen[key] then
            seen[key] = true
            uses[#uses + 1] = use
        end
    end
    table.sort(uses, function(a, b)
        if a.line ~= b.line then
            return a.line < b.line
        end
        return a.name < b.name
    end)
    return uses
end

return M
