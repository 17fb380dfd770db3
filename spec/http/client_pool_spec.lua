--- The pool of the client: which connection a request gets, when it is sent again, and who gets the place that
--- somebody leaves.

local activity = require("moonloop.activity")
local eventually = require("spec.support.tasks").eventually
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local servers = require("spec.support.server")
local socket = require("socket")

local server

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
    servers.clean()
end)

local SIZED = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
local ANSWERS = { "read", { "send", SIZED }, "wait" }

---As server:log, with the loop standing still, so that the client hears nothing meanwhile, and for so long that the
---client cannot go by what the loop saw last.
local function blocking_log(port, count)
    local begun = socket.gettime()
    local connection = assert(socket.connect("127.0.0.1", server.port))
    connection:send(("GET /log?port=%d&count=%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(port, count))
    repeat
        local line = connection:receive("*l")
    until line == ""
    connection:receive(1)
    connection:close()
    while socket.gettime() - begun < 0.01 do end -- luacheck: ignore 542
end

local function with_hint(hint)
    return { "read", { "send", (SIZED:gsub("\r\n", "\r\nKeep-Alive: " .. hint .. "\r\n", 1)) }, "wait" }
end

describe("an idle connection", function()
    it("is looked at before it is used again, also for POST", function()
        for _, method in ipairs({ "get", "post" }) do
            local client = http.client()
            local url, port = server:script({ "read", { "send", SIZED }, "close" }, ANSWERS)
            assert.equal("hello", client[method](client, url):body())
            blocking_log(port, 3)
            assert.equal("hello", client[method](client, url):body())
            assert.equal(0, client:stats().reused)
            assert.equal(1, client:stats().connections)
        end
    end)

    it("is dropped when the server has said something unasked meanwhile", function()
        local client = http.client()
        local url, port = server:script({ "read", { "send", SIZED }, "head", { "send", SIZED }, "close" },
            { "read", { "send", (SIZED:gsub("hello", "other")) }, "wait" })
        assert.equal("hello", client:get(url):body())
        assert.equal("hello", client:get(url):body())
        assert.equal(1, client:stats().reused)
        blocking_log(port, 4)
        assert.equal("other", client:get(url):body())
    end)

    it("is not kept longer than the server says", function()
        for hint, is_kept in pairs({
            ["timeout=0"] = false, ["max=0"] = false, ["timeout=5, max=0"] = false,
            ["timeout=5"] = true, ["max=1"] = true, ["timeout=5; nonsense"] = true, ["timeout=99999999999"] = true,
            ["x=1,timeout=-1"] = true, [","] = true,
        }) do
            local client = http.client()
            client:get((server:script(with_hint(hint)))):body()
            assert.equal(is_kept and 1 or 0, client:stats().idle, hint)
        end
        local client = http.client()
        local url, port = server:script(with_hint("TIMEOUT=1, max=100"))
        client:get(url):body()
        assert.equal(1, client:stats().idle)
        eventually(function()
            return client:stats().connections == 0
        end)
        assert.equal("end 0", server:log(port, 3)[3])
    end)

    it("is none where the request said that it is the last, in whichever Connection field", function()
        for _, fields in ipairs({ { "close", "x-a" }, { "x-a", "close" }, { "x-a, close" } }) do
            local client = http.client()
            client:get((server:script(ANSWERS)), { headers = { Connection = fields } })
            assert.equal(0, client:stats().idle, table.concat(fields, "; "))
        end
    end)

    it("is listed, with those that are busy", function()
        local client = http.client()
        local url = server:script(ANSWERS)
        client:get(url):body()
        local found
        for _, row in ipairs(activity.list()) do
            found = found or row.kind == "http" and row.name == url and row
        end
        assert.equal("idle", found.state)
        assert.equal("1 connections, 1 idle, 0 waiting", found.detail)
    end)
end)

describe("a request that finds its connection closed", function()
    local function twice(method, between, options)
        local client = http.client()
        local steps = { "read", { "send", SIZED }, "read" }
        for _, step in ipairs(between) do
            steps[#steps + 1] = step
        end
        steps[#steps + 1] = "close"
        local url, port = server:script(steps, ANSWERS)
        client:get(url):body()
        options = options or {}
        options.method, options.url = method, url .. "/again"
        local ok, body = pcall(function()
            return client:request(options):body()
        end)
        return ok and body or body.code, server:log(port, ok and 6 or 4), client
    end

    it("is sent once more when it is idempotent", function()
        for _, method in ipairs({ "GET", "HEAD", "PUT", "DELETE", "OPTIONS" }) do
            local body, log = twice(method, {}, { body = method == "PUT" and "x" or nil })
            assert.equal(method == "HEAD" and "" or "hello", body)
            local count = 0
            for _, line in ipairs(log) do
                count = count + (line == ("request %s /again HTTP/1.1"):format(method) and 1 or 0)
            end
            assert.equal(2, count)
        end
    end)

    it("is not when it is not, though the server may have done it", function()
        for _, method in ipairs({ "POST", "PATCH" }) do
            local code, log = twice(method, {}, { body = "x" })
            assert.equal("closed", code)
            assert.same({ "connection", "request GET / HTTP/1.1", ("request %s /again HTTP/1.1"):format(method),
                "closed" }, log)
        end
    end)

    it("is not when anything of an answer was seen", function()
        for _, bytes in ipairs({ "H", "HTTP/1.1 103 Hints\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" }) do
            local code, log, client = twice("GET", { { "send", bytes } })
            assert.equal("closed", code)
            assert.equal("closed", log[4])
            assert.is_nil(log[5])
            assert.equal(0, client:stats().connections)
        end
    end)

    it("is given up when the new one is closed as well", function()
        local client = http.client()
        local url, port = server:script({ "read", { "send", SIZED }, "read", "close" }, { "read", "close" })
        client:get(url):body()
        local ok, err = pcall(client.get, client, url)
        assert.is_false(ok)
        assert.equal("closed", err.code)
        assert.equal(7, #server:log(port, 7))
    end)

    it("goes first when there is no other", function()
        local client = http.client({ connections = 1 })
        local url = server:script({ "read", { "send", SIZED }, "read", "close" }, ANSWERS)
        client:get(url):body()
        assert.equal("hello", client:get(url):body())
        assert.equal(1, client:stats().connections)
    end)
end)

describe("a place in the pool", function()
    it("goes to the next in line when its task is cancelled, and the origin sees the end", function()
        local client = http.client({ connections = 1 })
        local url, port = server:script({ "read", "wait" }, { "read", { "send", SIZED }, "read", { "send", SIZED },
            "wait" })
        local order = {}
        moonloop.scope(function(scope)
            local first = scope:spawn(pcall, client.get, client, url)
            moonloop.sleep(0)
            for i = 1, 2 do
                scope:spawn(function()
                    client:get(url):body()
                    order[#order + 1] = i
                end)
            end
            server:log(port, 2)
            assert.equal(2, client:stats().waiting)
            first:cancel()
            first:wait()
        end)
        assert.same({ 1, 2 }, order)
        assert.equal(1, client:stats().connections)
        assert.matches("\nend 0\n", table.concat(server:log(port, 7), "\n") .. "\n")
    end)

    it("is waited for no longer than queue_timeout", function()
        local client = http.client({ connections = 1, queue_timeout = 0.05 })
        local url = server:script({ "read", "wait" })
        moonloop.scope(function(scope)
            local first = scope:spawn(pcall, client.get, client, url)
            moonloop.sleep(0)
            local ok, err = pcall(client.get, client, url .. "/second", { timeout = 10 })
            assert.is_false(ok)
            assert.equal("timeout", err.code)
            assert.equal(("GET %s/second: no connection to this origin became free within queue_timeout, "
                .. "while waiting for a connection"):format(url), err.message)
            assert.equal(0, client:stats().waiting)
            assert.equal(1, client:stats().connections)
            first:cancel()
            first:wait()
        end)
        for _, wrong in ipairs({ 0, -1, true }) do
            assert.is_false((pcall(http.client, { queue_timeout = wrong })))
        end
    end)
end)

describe("the limits of a pool", function()
    it("are checked", function()
        for _, options in ipairs({
            { connections = 0 }, { connections = -1 }, { connections = 0 / 0 }, { connections = 2 ^ 40 },
            { queue = -1 }, { queue = 1e9 }, { idle = 0 }, { idle = 0 / 0 }, { idle = math.huge },
            { connections = "8" }, { conections = 8 },
        }) do
            local ok, err = pcall(http.client, options)
            assert.is_false(ok)
            assert.matches("client_pool_spec.lua:%d+: http.client: ", tostring(err))
        end
    end)

    it("can leave no queue at all", function()
        local client = http.client({ connections = 1, queue = 0 })
        local url = server:script({ "read", "wait" })
        moonloop.scope(function(scope)
            local first = scope:spawn(pcall, client.get, client, url)
            moonloop.sleep(0)
            local ok, err = pcall(client.get, client, url)
            assert.is_false(ok)
            assert.equal("full", err.code)
            assert.equal("while waiting for a connection", err.stage)
            first:cancel()
            first:wait()
        end)
    end)
end)

describe("a request of ours", function()
    it("takes what it asked for with it when its client leaves, and what it did not read when it ends", function()
        local url, port = server:script({ "read", "wait" })
        local large, large_port = server:script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" },
            "wait" })
        local own = servers.start({ apps = { ["index.lua"] = ([[
            local moonloop = require("moonloop")
            local http = require("moonloop.http")
            local app = moonloop.app()
            local kept = {}
            app:get("/hang", function() return http.get("%s"):body() end)
            app:get("/head", function()
                kept[1] = http.get("%s")
                return tostring(kept[1].status)
            end)
            return app
        ]]):format(url, large) } })
        local connection = own:connect()
        connection:send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        server:log(port, 2)
        connection:close()
        assert.equal("end 0", server:log(port, 3)[3])
        assert.equal("200", own:get("/head").body)
        assert.equal("end 0", server:log(large_port, 3)[3])
        own:stop()
    end)
end)
