--- Runs the examples of a Markdown file, top to bottom, in a directory of their own.
---
---   ```lua          a script for `moonloop run`; a line may end in `--> what it shows`
---   -- apps/x.lua   with such a first line: the file of that name. An app is loaded, a spec is run, a
---                   configuration is checked. Without one, code with `app:` in it is apps/index.lua.
---   ```sh           a shell script
---   ```text, json   behind sh: what that prints; in text, … stands for anything
---   localhost:8080  anywhere: the server of the apps so far
---   norun           behind lua or sh: not run; of sh, the commands and flags have to exist all the same

local assert = require("luassert")
local cjson = require("cjson")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")
local unistd = require("posix.unistd")

local M = {}

---@class spec.Fence
---@field kind string "lua"
---@field is_norun boolean
---@field text string
---@field line integer of the opening mark

---@param text string
---@return spec.Fence[]
function M.fences(text)
    local fences, open, number = {}, nil, 0
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do
        number = number + 1
        local mark = line:match("^```(.*)$")
        if mark and open then
            open.text = table.concat(open, "\n") .. "\n"
            fences[#fences + 1], open = open, nil
        elseif mark then
            open = { kind = mark:match("^%S*"), is_norun = mark:find("norun", 1, true) ~= nil, line = number }
        elseif open then
            open[#open + 1] = line
        end
    end
    assert(not open, "a fence is not closed")
    return fences
end

---What a line of a script with `--> expected` becomes: the same, checked.
local function check_line(line, number)
    local code, expected = line:match("^(.-)%s*%-%-> ?(.*)$")
    if not code or code:match("^%s*%-%-") then
        return line
    end
    local names = code:match("^%s*local ([%w_, ]+) =") or code:match("^%s*([%w_, ]+) = ")
    local printed = code:match("^%s*print(%b())%s*$")
    local value = names or printed and printed:sub(2, -2) or code
    return ("%s shown(%d, %q, %s)"):format(names and code or "", number, expected, value)
end

local CHECK = [[
local function shown(line, expected, ...)
    local parts = {}
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        parts[i] = type(value) == "table" and require("moonloop.json").encode(value) or tostring(value)
    end
    local text = table.concat(parts, ", ")
    if text ~= expected then
        error(("line %d shows %q, not %q"):format(line, text, expected), 0)
    end
end
]]

local function add_requires(text)
    local head = ""
    if text:find("%f[%w_]moonloop%.") and not text:find("local moonloop", 1, true) then
        head = 'local moonloop = require("moonloop") '
    end
    if text:find("%f[%w_.]http%.") and not text:find("local http", 1, true) then
        head = head .. 'local http = require("moonloop.http") '
    end
    return head
end

local function free_port()
    local listening = assert(socket.bind("127.0.0.1", 0))
    local _, port = listening:getsockname()
    listening:close()
    return tonumber(port)
end

---@class spec.Document
---@field dir string
---@field address string of the server, once it runs
local Document = {}
Document.__index = Document

function Document:call(...)
    return process.run({ server.binary, ... }, { cwd = self.dir })
end

local function expect_success(result)
    if result.code ~= 0 then
        error(("exit code %d\n%s%s"):format(result.code, result.out, result.err), 0)
    end
end

function Document:run_script(text)
    local lines, number = {}, 0
    for line in text:gmatch("([^\n]*)\n") do
        number = number + 1
        lines[number] = check_line(line, number)
    end
    local script = CHECK:gsub("\n%s*", " ") .. add_requires(text) .. table.concat(lines, "\n") .. "\n"
    process.write(self.dir .. "/example.lua", script)
    expect_success(self:call("run", "example.lua"))
end

function Document:write_app(path, text)
    if not text:find("moonloop.app(", 1, true) then
        text = "local app = moonloop.app() " .. text
    end
    if not text:find("return app", 1, true) then
        text = text .. "return app\n"
    end
    process.write(self.dir .. "/" .. path, add_requires(text) .. text)
    self:stop()
    expect_success(self:call("check"))
end

function Document:run_lua(text)
    local path = text:match("^%-%- ([%w_%-%./]+%.lua)")
    text = self:addressed(text, not path and not text:find("%f[%w_]app:"))
    if not path and text:find("%f[%w_]app:") then
        self:write_app("apps/index.lua", text)
    elseif not path then
        self:run_script(text)
    elseif path:match("^apps/[^_]") and text:find("moonloop.app(", 1, true) then
        self:write_app(path, text)
    else
        process.write(self.dir .. "/" .. path, text)
        self:stop()
        expect_success(path:match("_spec%.lua$") and self:call("test", "--no-lint", path) or self:call("check"))
    end
end

---The text with the address of the server in it; starts that if it is to be asked now.
function Document:addressed(text, is_asked)
    if not text:find("localhost:8080", 1, true) then
        return text
    end
    if is_asked and not self.site then
        self.site = server.start({ dir = self.dir, bind = self.address })
    end
    return (text:gsub("localhost:8080", self.address))
end

function Document:stop()
    if self.site then
        self.site:stop()
        self.site = nil
    end
end

---Each `moonloop WORD --flag` has to exist.
function Document:check_words(text)
    for line in text:gsub("\\\n", " "):gmatch("[^\n]+") do
        local word, rest = line:gsub("%s#.*$", ""):match("moonloop (%l+)(.*)$")
        if word and not line:match("^%s*#") then
            local help = self:call(word, "--help")
            if help.code ~= 0 then
                error("there is no `moonloop " .. word .. "`", 0)
            end
            for flag in rest:gmatch("%f[%-](%-%-[%w%-]+)") do
                if not (help.out .. " "):find((flag:gsub("%-", "%%-")) .. "[%s,=]") then
                    error(word .. " has no " .. flag, 0)
                end
            end
        end
    end
end

local function same_text(expected, printed)
    local pattern = expected:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".-")
    return printed:match("^" .. pattern:gsub("\n$", "") .. "\n?$") ~= nil
end

local function check_output(fence, printed)
    if fence.kind == "json" then
        assert.same(cjson.decode(fence.text), cjson.decode(printed))
    elseif not same_text(fence.text, printed) then
        error(("it prints\n%s\nnot\n%s"):format(printed, fence.text), 0)
    end
end

function Document:run_shell(fence, following)
    self:check_words(fence.text)
    if fence.is_norun then
        return
    end
    local script = self:addressed(fence.text, true)
    local result = process.run({ "sh", "-e", "-c", script }, { cwd = self.dir })
    expect_success(result)
    if following and (following.kind == "text" or following.kind == "json") then
        check_output(following, result.out)
    end
end

---Runs every example of a Markdown file. Raises with its line.
---@param name string for messages
---@param text string
function M.run(name, text)
    local self = setmetatable({ dir = process.directory(), address = "127.0.0.1:" .. free_port() }, Document)
    process.make_directory(self.dir .. "/apps")
    assert(unistd.link(server.binary, self.dir .. "/moonloop", true))
    local fences = M.fences(text)
    for i, fence in ipairs(fences) do
        local ok, why = true, nil
        if fence.kind == "sh" then
            ok, why = pcall(self.run_shell, self, fence, fences[i + 1])
        elseif fence.kind == "lua" and not fence.is_norun then
            ok, why = pcall(self.run_lua, self, fence.text)
        end
        if not ok then
            error(("%s:%d: %s"):format(name, fence.line, type(why) == "table" and why.message or tostring(why)), 0)
        end
    end
    self:stop()
end

return M
