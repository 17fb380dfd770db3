local server = require("spec.support.server")

local APP = [[
local ffi = require("ffi")
ffi.cdef("int unshare(int flags);")
local moonloop = require("moonloop")
local app = moonloop.app()

local CLONE_NEWUSER, ENOSYS = 0x10000000, 38

app:get("/status", function()
    return io.open("/proc/self/status"):read("*a")
end)
app:get("/limits", function()
    return io.open("/proc/self/limits"):read("*a")
end)
app:get("/unshare", function()
    local result = ffi.C.unshare(CLONE_NEWUSER)
    return { result = result, is_unknown = ffi.errno() == ENOSYS }
end)
app:get("/program", function()
    return moonloop.process.run({ "sh", "-c", "grep NoNewPrivs /proc/self/status; unshare -r true && echo shared" }).stdout
end)
app:get("/thread", function()
    return tostring(moonloop.offload(function() return 6 * 7 end))
end)
app:get("/process", { run = "process" }, function()
    return "from a process\n"
end)
return app
]]

describe("the sandbox of a worker", function()
    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["app.lua"] = APP }, options = { "--workers", "1", ... } })
    end

    it("takes privileges, name spaces and core dumps away, from what it starts as well", function()
        local site = start()
        local status = site:get("/app/status").body
        assert.equal("1", status:match("\nNoNewPrivs:%s+(%d)"))
        assert.equal("2", status:match("\nSeccomp:%s+(%d)"))
        assert.same({ result = -1, is_unknown = true }, require("cjson").decode(site:get("/app/unshare").body))
        assert.matches("\nMax core file size%s+0%s+0%s", site:get("/app/limits").body)
        assert.equal("NoNewPrivs:\t1\n", site:get("/app/program").body)
    end)

    it("leaves threads, processes and programs as they are", function()
        local site = start()
        assert.equal("42", site:get("/app/thread").body)
        assert.equal("from a process\n", site:get("/app/process").body)
    end)

    it("is off, and core dumps are on, where that is asked for", function()
        local site = start("--no-sandbox", "--core-dumps")
        local status = site:get("/app/status").body
        assert.equal("0", status:match("\nNoNewPrivs:%s+(%d)"))
        assert.equal("0", status:match("\nSeccomp:%s+(%d)"))
        assert.is_nil(site:get("/app/limits").body:match("\nMax core file size%s+0%s+0%s"))
    end)
end)
