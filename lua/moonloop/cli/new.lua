--- `moonloop new NAME`: an app with a route, its spec, and what an editor needs to know the types.
--- Writes nothing at all when any file of the app is there already.

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")

local M = {}

local NAME_MAX = 64

local app_template = [[
local moonloop = require("moonloop")
local app = moonloop.app()

app:get("/", function()
    return "Hello from NAME!\n"
end)

app:get("/greet/{who}", function(req)
    return { greeting = "Hello, " .. req.params.who .. "!" } -- a table becomes JSON
end)

return app
]]

local spec_template = [[
local testing = require("moonloop.testing")

describe("NAME", function()
    local client = testing.client("apps")

    it("says hello", function()
        assert.equal("Hello from NAME!\n", client:get("MOUNT").text)
    end)

    it("greets by name", function()
        assert.equal("Hello, Ada!", client:get("MOUNTgreet/Ada"):json().greeting)
    end)
end)
]]

local luarc_template = [[
{
    "runtime.version": "LuaJIT",
    "workspace.library": ["LIBRARY"],
    "diagnostics.globals": ["describe", "it", "before_each", "after_each", "setup", "teardown", "pending"]
}
]]

---@param template string
---@param words table<string, string>
local function fill(template, words)
    return (template:gsub("%u%u%u%u+", words))
end

---@param name string
local function check_name(name)
    if #name > NAME_MAX or not name:match("^[%a%d][%w_%-]*$") then
        fault.raise(2, "new: %q cannot be an app's name: letters, digits, - and _, at most %d of them, and"
            .. " a letter or digit first", name, NAME_MAX)
    end
end

local function write(path, text)
    local file, reason = io.open(path, "wb")
    if not file then
        fault.raise(1, "new: %s", reason)
    end
    local ok
    ok, reason = file:write(text)
    local closed, close_reason = file:close()
    if not ok or not closed then
        fault.raise(1, "new: %s: %s", path, reason or close_reason)
    end
end

local function make_directory(path)
    local ok, reason = pcall(files.make_directory, path)
    if not ok then
        fault.raise(1, "new: %s", tostring(reason))
    end
end

---@param name string
---@param lua_dir string where moonloop's own Lua files are
---@return integer exit_code
function M.run(name, lua_dir)
    check_name(name)
    local app_file, spec_file = "apps/" .. name .. ".lua", "spec/" .. name .. "_spec.lua"
    for _, path in ipairs({ app_file, "apps/" .. name, spec_file }) do
        if files.exists(path) then
            fault.raise(1, "new: %s is there already; nothing was written", path)
        end
    end
    local mount = name == "index" and "/" or "/" .. name .. "/"
    local words = { NAME = name, MOUNT = mount, LIBRARY = (lua_dir:gsub('[\\"]', "\\%0")) }
    make_directory("apps")
    make_directory("spec")
    local written = { app_file, spec_file }
    write(app_file, fill(app_template, words))
    write(spec_file, fill(spec_template, words))
    if not files.exists(".luarc.json") then
        write(".luarc.json", fill(luarc_template, words))
        written[3] = ".luarc.json"
    end
    io.stdout:write("wrote ", table.concat(written, ", "), "\n",
        "next: moonloop serve --dev, then http://127.0.0.1:8080", mount, "; moonloop test\n")
    return 0
end

return M
