--- Types for editors (lua/moonloop/meta/) name what the modules in C hold, no more and no less.

local command = require("spec.support.command")

---Names of modules of C. moonloop.core.thread is there on offload threads alone.
local function modules()
    local names = { "thread" }
    for module in pairs(package.preload) do
        names[#names + 1] = module:match("^moonloop%.core%.(.+)$")
    end
    table.sort(names)
    return names
end

---@return table<string, boolean>
local function functions_of(module)
    local names = {}
    for name, value in pairs(module) do
        names[name] = type(value) == "function" or nil
    end
    return names
end

---@return table<string, boolean>
local function real(name)
    if name == "thread" then
        return require("moonloop").offload(function()
            return functions_of(require("moonloop.core.thread"))
        end)
    end
    return functions_of(require("moonloop.core." .. name))
end

describe("the types of", function()
    it("modules in C are there, and no others", function()
        local typed = {}
        for name in command.run({ "ls", "lua/moonloop/meta" }).out:gmatch("([%w_]+)%.lua") do
            typed[#typed + 1] = name
        end
        table.sort(typed)
        assert.same(modules(), typed)
    end)

    for _, name in ipairs(modules()) do
        it("moonloop.core." .. name .. " name what it has", function()
            assert.same(real(name), functions_of(dofile("lua/moonloop/meta/" .. name .. ".lua")))
        end)
    end
end)
