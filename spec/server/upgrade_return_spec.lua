--- Upgrades under which something changes between the proof and the exec: nothing of it ends the server.

local command = require("spec.support.command")
local probes = require("spec.support.probe")
local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")
local upgrades = require("spec.support.upgrades")

local APP = upgrades.WAITING_PROOF .. [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
return app
]]

local function start(given)
    given = given or {}
    given.apps = { ["hello.lua"] = APP }
    return upgrades.start(given)
end

describe("an upgrade that is proved", function()
    local directory

    after_each(server.clean)
    after_each(function()
        if directory then
            command.remove(directory)
        end
        directory = nil
    end)

    it("executes what was proved, whatever lies there by then", function()
        local site = start()
        upgrades.meanwhile(site, function()
            upgrades.install(site.dir .. "/moonloop", process.read("/bin/true"))
        end)
        site:wait_log("the upgrade is done")
        assert.equal("hello\n", site:get("/hello/").body)
        assert.equal("moonloop\n", process.read("/proc/" .. site:pid() .. "/comm"))
        local answer = site:call("upgrade") -- the next one finds the other program
        assert.same({ 1, "hello\n" }, { answer.code, site:get("/hello/").body })
        upgrades.install(site.dir .. "/moonloop")
        process.write(site.dir .. "/go", "")
        assert.equal(0, site:call("upgrade").code)
        upgrades.wait_count(site, "the upgrade is done", 2)
    end)

    it("looks for the next one where it looked for this, though this was moved away", function()
        local site = start()
        upgrades.meanwhile(site, function()
            assert(os.rename(site.dir .. "/moonloop", site.dir .. "/moonloop.old"))
        end)
        site:wait_log("the upgrade is done")
        local answer = site:call("upgrade")
        assert.equal(1, answer.code)
        assert.matches("cannot execute " .. site.dir .. "/moonloop: No such file", answer.err, 1, true)
        upgrades.install(site.dir .. "/moonloop")
        assert.equal(0, site:call("upgrade").code)
        upgrades.wait_count(site, "the upgrade is done", 2)
    end)

    it("does not execute a file that was written into since", function()
        local site = start()
        upgrades.meanwhile(site, function()
            assert(require("posix.utime").utime(site.dir .. "/moonloop", 1000000000, 1000000000))
        end)
        site:wait_log("the upgrade has failed, the server goes on as it was")
        assert.matches("Text file busy", site:log(), 1, true)
        assert.equal("hello\n", site:get("/hello/").body)
        assert.equal(1, site:status().generation)
    end)

    it("goes back, and is tried each second, when the configuration has been broken since", function()
        local site = start({ options = { "--workers", "2" } })
        local before = site:worker_pids()
        local probe = probes.start(site, "/hello/", "hello\n")
        probe:wait_requests(20)
        upgrades.meanwhile(site, function()
            process.write(site.dir .. "/moonloop.conf.lua", "return { wrokers = 3 }")
        end)
        upgrades.wait_count(site, "and it is tried again in a second", 2)
        for _, pid in ipairs(before) do
            assert.is_true(process.exists(pid))
        end
        os.remove(site.dir .. "/moonloop.conf.lua")
        site:wait_log("the upgrade has failed: the new program could not start")
        site:wait_log("the server is as it was")
        assert.equal(2, #site:worker_pids())
        assert.same({}, probe:stop().failures)
        upgrades.meanwhile(site, function() end)
        upgrades.wait_count(site, "the upgrade is done", 1)
        assert.same({ "exited", 0 }, { site:stop() })
    end)

    it("goes back when the certificates have been swapped since", function()
        directory = tls.directory()
        local good = command.read(directory .. "/good.pem")
        local site = start({ options = { "--workers", "1", "--certfile", directory .. "/good.pem", "--keyfile",
            directory .. "/good.key" } })
        local client = tls.client(directory)
        upgrades.meanwhile(site, function()
            command.write(directory .. "/good.pem", "garbage")
        end)
        site:wait_log("cannot start after the upgrade: tls: ")
        assert.equal("hello\n", client:get("https://localhost:" .. site.port .. "/hello/"):body())
        command.write(directory .. "/good.pem", good)
        site:wait_log("the server is as it was")
        assert.equal("good", tls.shown(site.port))
    end)

    it("stops when it is told to while it cannot start", function()
        local site = start({ options = { "--workers", "1", "--bind", "unix:spec.sock" } })
        local worker = site:worker_pids()[1]
        upgrades.meanwhile(site, function()
            process.write(site.dir .. "/moonloop.conf.lua", "return 7 +")
        end)
        site:wait_log("and it is tried again in a second")
        site:signal("TERM")
        local how, code = site.process:wait()
        assert.same({ "exited", 1 }, { how, code })
        process.wait_for("the worker to leave", function() return not process.exists(worker) end)
    end)
end)
