local examples = require("spec.support.examples")
local process = require("spec.support.process")
local server = require("spec.support.server")

local function app_names()
    local names = {}
    for name in require("posix.dirent").files(examples.root .. "apps") do
        if name:match("^[^._].*%.lua$") then
            names[#names + 1] = name
        elseif require("posix.sys.stat").S_ISDIR(
            require("posix.sys.stat").stat(examples.root .. "apps/" .. name).st_mode) ~= 0 and name:match("^[^._]") then
            names[#names + 1] = name .. "/"
        end
    end
    table.sort(names)
    return names
end

describe("apps/index.lua", function()
    local site, html

    before_each(function()
        site = examples.serve(app_names())
        html = site:get("/").body
    end)
    after_each(server.clean)

    it("is a page of one piece: nothing is loaded from elsewhere", function()
        assert.equal("text/html; charset=utf-8", site:get("/").headers["content-type"])
        assert.is_nil(html:find("https?://"))
        assert.is_nil(html:find("<script src"))
        assert.is_nil(html:find("stylesheet"))
        assert.truthy(html:match("</html>\n$"))
    end)

    it("shows every example, where its file is, and only paths that have an answer", function()
        for _, name in ipairs(app_names()) do
            local file = name:gsub("/$", "/init.lua")
            assert.truthy(html:find("<code>apps/" .. file .. "</code>", 1, true), name .. " is not shown")
        end
        local routes = site:call("routes", "--running").out
        local count = 0
        for list in html:gmatch('data%-paths="(.-)"') do
            for path in list:gmatch("&quot;(/[^/&?]+/[^/&?]*)") do
                count = count + 1
                local known = routes:find(path, 1, true) or routes:find(path:match("^/[^/]+/") .. "{", 1, true)
                assert.truthy(known, path .. " has no route")
            end
        end
        assert.is_true(count >= 4)
    end)

    it("names a line to edit, and the edit is the next answer", function()
        assert.truthy(html:find("GREETING", 1, true))
        assert.equal("Hello, world!\n", site:get("/hello/").body)
        site:write("hello.lua", (examples.read("apps/hello.lua"):gsub('GREETING = "Hello"', 'GREETING = "Salve"')))
        process.wait_for("the new greeting", function()
            return site:get("/hello/").body == "Salve, world!\n"
        end)
    end)
end)
