local docs = require("spec.support.docs")
local examples = require("spec.support.examples")
local server = require("spec.support.server")

local function documents()
    local names = { "README.md", "CONTRIBUTING.md" }
    for name in require("posix.dirent").files(examples.root .. "docs") do
        if name:match("%.md$") then
            names[#names + 1] = "docs/" .. name
        end
    end
    table.sort(names)
    return names
end

local function exists(path)
    return require("posix.unistd").access(path) ~= nil
end

describe("the documentation", function()
    after_each(server.clean)

    for _, name in ipairs(documents()) do
        it("has examples in " .. name .. " that do what they say", function()
            docs.run(name, examples.read(name))
        end)

        it("links in " .. name .. " to what is there", function()
            local folder = examples.root .. (name:match("^(.*/)") or "")
            local text = examples.read(name)
            for target in text:gsub("```.-```", ""):gmatch("%]%(([^)#]+)[^)]*%)") do
                assert.truthy(target:match("^https?://") or exists(folder .. target), target)
            end
        end)
    end

    it("names files in core/README.md that are there, and every room", function()
        local text = examples.read("core/README.md")
        for path in text:gmatch("`(%l+/[%l_]+%.?c?)`") do
            local base = examples.root .. "core/" .. path:gsub("%.c$", "")
            assert.truthy(exists(base .. ".c") or exists(base .. ".h"), path)
        end
        for _, room in ipairs({ "base", "loop", "shared", "net", "http", "script", "server" }) do
            assert.truthy(text:find("| `" .. room .. "/`", 1, true), room)
        end
    end)

    it("is reached from README.md, each page of it", function()
        local readme = examples.read("README.md")
        for _, name in ipairs(documents()) do
            assert.truthy(name == "README.md" or readme:find("](" .. name .. ")", 1, true), name)
        end
    end)

    it("names specs in README.md that are there", function()
        local count = 0
        for path in examples.read("README.md"):gmatch("`(spec/[%w_/]+%.lua)`") do
            assert.truthy(exists(examples.root .. path), path)
            count = count + 1
        end
        assert.is_true(count >= 6)
    end)
end)

describe("the runner of examples", function()
    after_each(server.clean)

    local function fails(text)
        local ok, why = pcall(docs.run, "x.md", text)
        assert.is_false(ok)
        return why
    end

    it("is content with what is right", function()
        docs.run("x.md", "```lua\nlocal a = 1 + 1 --> 2\nprint(a) --> 2\n```\n```lua norun\nwhat?\n```\n")
        docs.run("x.md", "```sh\necho a; echo b\n```\n```text\na\n…\n```\n")
    end)

    it("finds what is wrong, with its line", function()
        assert.matches("^x.md:2: .*shows \"2\", not \"3\"", fails("\n```lua\nlocal a = 1 + 1 --> 3\n```\n"))
        assert.matches("^x.md:1: .*line 1", fails("```lua\nprint(1) --> 2\n```\n"))
        assert.matches("^x.md:1: .*boom", fails('```lua\nerror("boom")\n```\n'))
        assert.matches("^x.md:1: it prints", fails("```sh\necho b\n```\n```text\na\n```\n"))
        assert.matches("^x.md:1: exit code 3", fails("```sh\nexit 3\n```\n"))
        assert.matches("^x.md:1: there is no `moonloop sevre`", fails("```sh norun\n./moonloop sevre\n```\n"))
        assert.matches("^x.md:1: serve has no %-%-bnid", fails("```sh norun\n./moonloop serve --bnid x\n```\n"))
        assert.matches("^x.md:1: .*apps/x.lua:2: ", fails("```lua\n-- apps/x.lua\nlocal = 2\n```\n"))
    end)

    it("serves the apps so far", function()
        docs.run("x.md", table.concat({
            "```lua", "-- apps/x.lua", 'local moonloop = require("moonloop")', "local app = moonloop.app()",
            'app:get("/", function() return { a = 1, b = { 2 } } end)', "return app", "```", "```sh",
            "curl -s localhost:8080/x/", "```", "```json", '{ "b": [2], "a": 1 }', "```", "",
        }, "\n"))
    end)
end)
