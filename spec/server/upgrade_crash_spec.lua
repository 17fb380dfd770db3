--- Upgrades to a program whose proof is good and whose master then crashes, ends or hangs: the program before it goes
--- on, with the workers of either, and nobody notices.
---
--- What the new program has of its own here is Lua that its command line runs, in a copy of the Lua directory: it is
--- told by a file what to do in the master that has been executed.

local probes = require("spec.support.probe")
local process = require("spec.support.process")
local server = require("spec.support.server")
local upgrades = require("spec.support.upgrades")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "hello\n" end)
app:get("/slow", function() moonloop.sleep(1) return "slow\n" end)
app:get("/count", function() return tostring(moonloop.shared("spec"):incr("count")) end)
return app
]]

-- Each line of the file "crash" is for one master that takes over, "WHAT MILLISECONDS": at once when there are none.
local CRASH = [==[
do
    local file = os.getenv("MOONLOOP_INTERNAL_HANDOVER") and io.open("crash")
    local first = file and file:read("*l")
    if first then
        local rest = file:read("*a")
        file:close()
        file = io.open("crash", "w")
        file:write(rest)
        file:close()
        local what, after_ms = first:match("(%a+) ?(%d*)")
        local ffi = require("ffi")
        ffi.cdef[[
            void abort(void); void exit(int); unsigned alarm(unsigned);
            struct spec_event { int value, pad, number, notify; char rest[64]; };
            struct spec_span { long every_s, every_ns, first_s, first_ns; };
            int timer_create(int clock, struct spec_event *event, void **timer);
            int timer_settime(void *timer, int flags, const struct spec_span *span, void *former);
        ]]
        local numbers = { segv = 11, abort = 6, alarm = 14 }
        if after_ms ~= "" then -- a signal of its own, in the midst of what it does then
            local timer = ffi.new("void *[1]")
            local event = ffi.new("struct spec_event", { number = numbers[what], notify = 0 })
            assert(ffi.C.timer_create(1, event, timer) == 0)
            local span = ffi.new("struct spec_span", { first_s = after_ms / 1000, first_ns = after_ms % 1000 * 1e6 })
            assert(ffi.C.timer_settime(timer[0], 0, span, nil) == 0)
        elseif what == "segv" then
            ffi.cast("volatile int *", 8)[0] = 1
        elseif what == "abort" then
            ffi.C.abort()
        elseif what == "exit" then
            ffi.C.exit(0)
        elseif what == "hang" then
            ffi.C.alarm(1) -- instead of half a minute
            while true do end
        end
    end
end
]==]

-- #tsan_cannot: it keeps signals back until a function that it intercepts is called, and crashes are its own to report.
describe("an upgrade whose new master #tsan_cannot", function()
    local lua_dir

    setup(function()
        lua_dir = process.directory()
        assert(os.execute(("cp -r lua/. %s"):format(lua_dir)))
        local path = lua_dir .. "/moonloop/cli/init.lua"
        process.write(path, CRASH .. process.read(path))
        assert(os.rename(lua_dir, lua_dir .. ".kept")) -- process.clean removes what it knows of
        lua_dir = lua_dir .. ".kept"
    end)

    teardown(function()
        process.remove(lua_dir)
    end)

    after_each(server.clean)

    local function start(options)
        return upgrades.start({ apps = { ["hello.lua"] = APP }, options = options or { "--workers", "2" },
            env = { MOONLOOP_LUA_DIR = lua_dir } })
    end

    ---Upgrades, with what the new masters do, under a probe; whoever goes on must have lost nothing.
    local function crash(site, lines, expected)
        local pid = site:pid()
        assert.equal("hello\n", site:get("/hello/").body)
        local count = tonumber(site:get("/hello/count").body)
        process.write(site.dir .. "/crash", table.concat(lines, "\n") .. "\n")
        local probe = probes.start(site, "/hello/", "hello\n")
        probe:wait_requests(10)
        assert.equal(0, site:call("upgrade").code)
        local log = site:wait_log("the upgrade has failed: the new program " .. expected .. "; this one goes on")
        site:wait_log("the server is as it was")
        site:wait_status("the workers of the former program", function(status)
            return #status.workers == 2 and status.workers[1].state == "serving"
                and status.workers[2].state == "serving"
        end)
        probe:wait_requests(10)
        assert.same({}, probe:stop().failures)
        assert.is_true(site.process:is_alive() and site:status().pid == pid)
        assert.equal(tostring(count + 1), site:get("/hello/count").body)
        return log
    end

    for what, expected in pairs({
        segv = "crashed: SIGSEGV (Segmentation fault)",
        abort = "crashed: SIGABRT (Aborted)",
        exit = "ended",
        hang = "hung",
    }) do
        it(("(%s at once) gives way to the one before it"):format(what), function()
            crash(start(), { what }, expected)
        end)
    end

    for _, after_ms in ipairs({ 5, 20, 40, 80, 160, 400, 2500 }) do
        it(("(a crash after %d ms) gives way to the one before it, whatever it had done by then"):format(after_ms),
            function()
                crash(start(), { "segv " .. after_ms }, "crashed: SIGSEGV (Segmentation fault)")
            end)
    end

    it("crashes gives way to the one before it once more, and then an upgrade that is good is done", function()
        local site = start()
        for times = 1, 2 do
            process.write(site.dir .. "/crash", "abort 300\n")
            assert.equal(0, site:call("upgrade").code)
            upgrades.wait_count(site, "the new program crashed: SIGABRT", times)
            upgrades.wait_count(site, "the server is as it was", times)
        end
        upgrades.run(site, select(2, site:log():gsub("the upgrade is done", "")) + 1)
        assert.same({ "exited", 0 }, { site:stop() })
    end)

    it("crashes, as does the one before it, is tried again each second, and stops when it is told to", function()
        local site = start()
        local workers = site:worker_pids()
        process.write(site.dir .. "/crash", ("segv\n"):rep(4))
        assert.equal(0, site:call("upgrade").code)
        process.wait_for("two tries", function()
            return #process.read(site.dir .. "/crash") <= 2 * 5
        end)
        assert.equal("hello\n", site:get("/hello/").body)
        site:signal("TERM")
        assert.equal("exited", (site.process:wait()))
        process.wait_for("the workers to leave", function()
            return not process.exists(workers[1]) and not process.exists(workers[2])
        end)
    end)

    it("is ended by somebody else's signal as any other program", function()
        for _, name in ipairs({ "SEGV", "ABRT" }) do
            local site = start()
            upgrades.run(site, 1)
            site:signal(name)
            assert.equal("killed", (site.process:wait()))
            assert.not_matches("has failed", site:log())
        end
    end)
end)
