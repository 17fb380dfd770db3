--- Subprocesses of handlers through a real server: none outlives its request, its worker, or the server.

local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
local GROUP = "sleep 60 & echo $$ $! > pids.new; mv pids.new pids; wait"
local system
app:on_start(function()
    system = moonloop.process.run({ "uname" }).stdout
end)
app:get("/system", function() return system end)
app:get("/group", function() return moonloop.process.run(GROUP, { shell = true }).stdout end)
app:get("/late", { timeout = 0.2 }, function() return moonloop.process.run(GROUP, { shell = true }).stdout end)
app:get("/thread", { run = "thread" }, function() return moonloop.process.run(GROUP, { shell = true }).stdout end)
app:get("/left", function()
    return moonloop.process.spawn({ "sleep", "60" }).pid .. "\n"
end)
app:get("/short", function()
    return moonloop.process.run("echo $$ > pids.new; mv pids.new pids; sleep 0.3; echo done", { shell = true }).stdout
end)
app:get("/lines", function(req, res)
    for line in moonloop.process.spawn({ "printf", "a\\nb\\n" }).stdout:lines() do
        res:write(line .. ";")
    end
end)
return app
]]

local function start(...)
    return server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", ... } })
end

local function children_of(pid)
    return process.read(("/proc/%d/task/%d/children"):format(pid, pid)) or ""
end

--- The ids that the group of a handler has written down.
local function pids(site)
    local text = process.wait_for("the group to run", function()
        return process.read(site.dir .. "/pids")
    end)
    local list = {}
    for pid in text:gmatch("%d+") do
        list[#list + 1] = tonumber(pid)
    end
    return list
end

local function wait_gone(list)
    process.wait_for("the group to go", function()
        for _, pid in ipairs(list) do
            if process.exists(pid) then
                return false
            end
        end
        return true
    end)
end

local function send(site, target)
    local connection = site:connect()
    connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
    return connection
end

describe("a process of a handler", function()
    after_each(server.clean)

    it("runs in on_start, on the loop and streams", function()
        local site = start()
        process.wait_for("on_start to end", function() return site:get("/system").body == "Linux\n" end)
        assert.equal("done\n", site:get("/short").body)
        assert.equal("a;b;", site:get("/lines").body)
    end)

    it("is started beside the loop: a machine that keeps the helper waiting holds up nobody else", function()
        local site = start()
        process.wait_for("on_start to end", function() return site:get("/system").body == "Linux\n" end)
        local helper = tonumber(children_of(site:worker_pids()[1]):match("%d+"))
        process.kill(helper, "STOP")
        local waiting = send(site, "/short")
        assert.equal("Linux\n", site:get("/system").body)
        assert.equal(504, site:get("/late").status)
        process.kill(helper, "CONT")
        assert.equal("done\n", waiting:read_response().body)
        -- What nobody waits for any more is ended as soon as it begins.
        process.wait_for("the helper to have no program", function() return children_of(helper) == "" end)
        assert.equal("done\n", site:get("/short").body)
    end)

    it("goes with its group when the client leaves", function()
        for _, target in ipairs({ "/group", "/thread" }) do
            local site = start()
            local connection = send(site, target)
            local group = pids(site)
            assert.equal(2, #group)
            connection:close()
            wait_gone(group)
            assert.equal("done\n", site:get("/short").body)
            site:stop()
        end
    end)

    it("goes with its group at the deadline of the request", function()
        local site = start()
        assert.equal(504, site:get("/late").status)
        wait_gone(pids(site))
    end)

    it("goes when the handler that left it has answered", function()
        local site = start()
        wait_gone({ tonumber(site:get("/left").body) })
    end)

    it("is waited for by a server that stops", function()
        local site = start()
        local connection = send(site, "/short")
        pids(site)
        site:signal("TERM")
        assert.equal("done\n", connection:read_response().body)
        assert.same({ "exited", 0 }, { site.process:wait() })
    end)

    it("goes with its group when graceful_timeout is over", function()
        local site = start("--graceful-timeout", "0.2")
        send(site, "/group")
        local group = pids(site)
        site:stop()
        wait_gone(group)
    end)

    it("goes with a worker that is killed", function()
        local site = start()
        send(site, "/short")
        local leader = pids(site)[1]
        process.remove(site.dir .. "/pids")
        send(site, "/group")
        local group = pids(site)
        process.kill(site:worker_pids()[1], "KILL")
        wait_gone({ leader, group[1] })
        process.kill(group[2], "KILL") -- its own children are not its worker's
    end)
end)
