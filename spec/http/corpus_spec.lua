--- What a fuzzer found once (core/fuzz/run) goes through a real server: the same answers in one piece and
--- byte by byte, and the worker lives. What has no name but a hash it kept for the code that it reaches: the
--- harness has it (spec/fuzz_spec.lua).

local process = require("spec.support.process")
local server = require("spec.support.server")

local DIRECTORY = "spec/corpus/request/"

local APP = [[
local app = require("moonloop").app()
app:any("/{p}", function(req) return req:body() end)
return app
]]

local function statuses(connection)
    local list = {}
    while true do
        local response, reason = connection:read_response()
        if not response then
            return table.concat(list, " ") .. " " .. reason
        elseif response.status >= 200 then
            list[#list + 1] = response.status
        end
    end
end

describe("a request that broke the server once", function()
    local site
    lazy_setup(function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = {
            "--workers", "1", "--header-timeout", "0.3", "--body-timeout", "0.3",
        } })
    end)
    lazy_teardown(server.clean)

    local function ask(bytes, step)
        local connection = site:connect()
        connection:set_timeout(5)
        for at = 1, #bytes, step do
            connection:send(bytes:sub(at, at + step - 1))
        end
        local seen = statuses(connection)
        connection:close()
        return seen
    end

    local function has_name(file)
        return not (#file == 40 and file:find("^%x+$"))
    end

    for name in process.run({ "ls", DIRECTORY }).out:gmatch("%S+") do
        if has_name(name) then
            it("is answered in one way: " .. name, function()
                local bytes = process.read(DIRECTORY .. name)
                local pid = site:worker_pids()[1]
                assert.equal(ask(bytes, #bytes), ask(bytes, 1))
                assert.equal(pid, site:worker_pids()[1])
            end)
        end
    end
end)
