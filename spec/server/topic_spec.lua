local cjson = require("cjson")
local ffi = require("ffi")
local posix_signal = require("posix.signal")
local process = require("spec.support.process")
local server = require("spec.support.server")

--- An app whose subscribers collect what they get; any worker may answer a request, so it says which it was.
local APP = [[
local ffi = require("ffi")
pcall(ffi.cdef, "int getpid(void);")
local moonloop = require("moonloop")
local app = moonloop.app()
local VERSION = 1

app:get("/pid", function() return tostring(ffi.C.getpid()) end)

-- Writes a line for each message of a topic until "stop" comes.
app:get("/listen/{topic}", function(req, res)
    local sub = moonloop.topic(req.params.topic):subscribe({ queue = tonumber(req.query.queue) or 1000000 })
    res:write(("subscribed %d %d\n"):format(ffi.C.getpid(), VERSION))
    for message, lost in sub do
        if message == "stop" then
            break
        end
        if type(message) == "table" then
            message = "number " .. message[2]
        elseif type(message) == "string" and #message > 100 then
            message = #message .. " bytes of " .. message:sub(1, 1)
        end
        res:write(("%s %d\n"):format(tostring(message), lost))
    end
    res:write(("end %d\n"):format(sub.lost))
end)

-- Gets so many messages, or learns that they are lost, and checks the order of each publisher.
app:get("/count/{topic}/{total:int}", function(req, res)
    local sub = moonloop.topic(req.params.topic):subscribe({ queue = 1000000 })
    res:write("subscribed\n")
    local last, count, lost, wrong = {}, 0, 0, 0
    for message, missed in sub do
        if message[2] <= (last[message[1] ] or 0) then
            wrong = wrong + 1
        end
        last[message[1] ] = message[2]
        count, lost = count + 1, lost + missed
        if count + lost >= req.params.total then
            break
        end
    end
    res:write(("%d %d %d\n"):format(count, lost, wrong))
end)

app:get("/publish/{topic}/{text}", function(req)
    moonloop.topic(req.params.topic):publish(req.params.text)
    return tostring(ffi.C.getpid())
end)

-- Numbered messages of one publisher, in slices so that subscribers of this worker get their turn.
app:get("/many/{topic}/{count:int}", function(req)
    local topic, padding = moonloop.topic(req.params.topic), ("x"):rep(tonumber(req.query.padding) or 0)
    for i = 1, req.params.count do
        topic:publish({ req.id, i, padding })
        if i % 100 == 0 then
            moonloop.sleep(0)
        end
    end
    return "done\n"
end)

app:get("/thread/{topic}/{text}", { run = "thread" }, function(req)
    moonloop.topic(req.params.topic):publish(req.params.text)
    return "done\n"
end)

app:get("/huge/{topic}/{size:int}", function(req)
    local _, err = moonloop.try(function()
        moonloop.topic(req.params.topic):publish(("h"):rep(req.params.size))
    end)
    return err and err.code or "ok"
end)

-- Subscribes and never reads, for as long as the client stays.
app:get("/sleeper/{topic}", function(req, res)
    local sub = moonloop.topic(req.params.topic):subscribe({ queue = 50 })
    res:write("subscribed\n")
    moonloop.sleep(600)
    return sub.lost
end)

app:get("/subscriptions", function()
    return { count = #require("moonloop.core.topic").list(), pid = ffi.C.getpid() }
end)

return app
]]

local function start(options, app)
    return server.start({ apps = { ["t.lua"] = app or APP }, options = options or { "--workers", "4" } })
end

--- A connection to each of `count` different workers, by pid. Connections stay with the worker that accepted them.
local function connect_to_each(site, count)
    local crowd, found = {}, 0
    process.wait_for("a connection to each worker", function()
        local connection = site:connect()
        local pid = tonumber(connection:request("GET", "/t/pid").body)
        if crowd[pid] then
            connection:close()
        else
            crowd[pid], found = connection, found + 1
        end
        return found == count
    end)
    return crowd
end

local function send(connection, target)
    connection:send("GET " .. target .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")
end

--- The next line of an answer that is being streamed, without its chunk's frame.
local function read_line(connection)
    local line = assert(connection:read_until("\n"))
    while line:find("^%x+\r\n$") or line == "\r\n" or line:find("^[%a-]+: ") or line:find("^HTTP") do
        line = assert(connection:read_until("\n"))
    end
    return (line:gsub("\n$", ""))
end

local function listen(connection, target)
    send(connection, target)
    assert(read_line(connection):find("^subscribed"))
end

--- Sends garbage to every bell of every server; how much was taken.
local function ring_all_bells()
    pcall(ffi.cdef, [[
        int socket(int domain, int type, int protocol);
        long sendto(int fd, const void *bytes, size_t len, int flags, const char *address, unsigned int address_len);
    ]])
    local AF_UNIX, SOCK_DGRAM, MSG_DONTWAIT, rung = 1, 2, 0x40, 0
    local fd = ffi.C.socket(AF_UNIX, SOCK_DGRAM, 0)
    for name in process.read("/proc/net/unix"):gmatch("@(moonloop%-%x+%-%d+%-%d+)") do
        local address = ffi.string(ffi.new("uint16_t[1]", AF_UNIX), 2) .. "\0" .. name
        for _, text in ipairs({ "x", ("garbage"):rep(1000), "" }) do
            local sent = ffi.C.sendto(fd, text, #text, MSG_DONTWAIT, address, #address)
            rung = rung + (sent >= 0 and 1 or 0)
        end
    end
    require("posix.unistd").close(fd)
    return rung
end

describe("topics between workers", function()
    after_each(server.clean)

    it("reach a subscriber in every worker, whoever publishes", function()
        local site = start()
        local crowd = connect_to_each(site, 4)
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/chat")
        end
        local publishers = {}
        for i = 1, 20 do
            publishers[site:get("/t/publish/chat/m" .. i).body] = true
            for _, connection in pairs(crowd) do
                assert.equal(("m%d 0"):format(i), read_line(connection))
            end
        end
        assert.is_not_nil(next(publishers, next(publishers)), "one worker published everything")
        site:get("/t/publish/other/unheard")
        site:get("/t/publish/chat/stop")
        for _, connection in pairs(crowd) do
            assert.equal("end 0", read_line(connection))
        end
    end)

    it("bring what an offload thread publishes, to its own worker as well", function()
        local site = start({ "--workers", "2" })
        local crowd = connect_to_each(site, 2)
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/chat")
        end
        site:get("/t/thread/chat/hello")
        for _, connection in pairs(crowd) do
            assert.equal("hello 0", read_line(connection))
        end
    end)

    it("keep the order of each of several publishers over thousands of messages", function()
        local site = start()
        local listeners, publishers = connect_to_each(site, 4), connect_to_each(site, 4)
        for _, connection in pairs(listeners) do
            listen(connection, "/t/count/numbers/20000")
        end
        for _, connection in pairs(publishers) do
            send(connection, "/t/many/numbers/5000")
        end
        for _, connection in pairs(publishers) do
            assert.equal("done\n", connection:read_response().body)
        end
        for _, connection in pairs(listeners) do
            local count, lost, wrong = read_line(connection):match("^(%d+) (%d+) (%d+)$")
            assert.equal(0, tonumber(wrong))
            assert.equal(20000, count + lost) -- the rings are large, but a worker may be kept waiting for long
        end
    end)

    it("cost nobody anything when a subscriber never reads: what it loses is bounded memory", function()
        local count = server.is_sanitized and 1500 or 6000 -- of 4 KB, four times
        local flood = ("/t/many/flood/%d?padding=4000"):format(count)
        local site = start({ "--workers", "2" })
        local sleepers, listeners = connect_to_each(site, 2), connect_to_each(site, 2)
        for _, connection in pairs(sleepers) do
            listen(connection, "/t/sleeper/flood")
        end
        for _, connection in pairs(listeners) do
            listen(connection, "/t/count/flood/" .. 4 * count)
        end
        site:get(flood)
        local before = {}
        for _, pid in ipairs(site:worker_pids()) do
            before[pid] = process.resident_kb(pid)
        end
        for _ = 1, 3 do -- 72 MB in all
            site:get(flood)
        end
        for pid, kb in pairs(before) do
            local now = process.resident_kb(pid) -- sanitizers keep freed memory, or more about each byte
            assert.is_true(now < kb + 40960 or server.is_sanitized, ("a worker grew from %d to %d KB"):format(kb, now))
        end
        for _, connection in pairs(listeners) do
            local heard, lost, wrong = read_line(connection):match("^(%d+) (%d+) (%d+)$")
            assert.equal(0, tonumber(wrong))
            assert.equal(4 * count, heard + lost)
        end
    end)

    it("lose the oldest for a slow subscriber, and the next message says how many", function()
        local site = start({ "--workers", "1" })
        local connection = site:connect()
        listen(connection, "/t/listen/slow?queue=10")
        site:get("/t/many/slow/95") -- in one slice: nobody receives meanwhile
        site:get("/t/publish/slow/last")
        local lines = {}
        repeat
            lines[#lines + 1] = read_line(connection)
        until lines[#lines]:find("^last")
        assert.equal("number 1 0", lines[1]) -- it was waited for
        assert.equal("number 86 84", lines[2]) -- the first of the ten in the queue
        assert.equal("number 95 0", lines[#lines - 1])
        assert.equal("last 0", lines[#lines])
        assert.equal(12, #lines)
    end)

    it("go on when subscribers' workers are killed under load", function()
        local site = start()
        local crowd, publishers = connect_to_each(site, 4), connect_to_each(site, 4)
        local pids = site:worker_pids()
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/chat")
        end
        local keeper, publisher = crowd[pids[1]], publishers[pids[1]]
        for i = 2, 4 do
            send(publisher, "/t/many/chat/3000")
            posix_signal.kill(pids[i], posix_signal.SIGKILL)
            while not read_line(keeper):find("^number 3000 ") do -- luacheck: ignore 542
            end
            assert.equal("done\n", publisher:read_response().body)
            site:wait_status("a successor", function(status)
                return #status.workers == 4 and status.workers[4].pid ~= pids[i] and #site:worker_pids() == 4
            end)
        end
        local successors = connect_to_each(site, 4)
        successors[pids[1]] = nil
        for _, connection in pairs(successors) do
            listen(connection, "/t/listen/chat") -- and gets nothing of what the dead have not read
        end
        site:get("/t/publish/chat/hello")
        assert.equal("hello 0", read_line(keeper))
        for _, connection in pairs(successors) do
            assert.equal("hello 0", read_line(connection))
        end
    end)

    it("go on when a publisher is killed in the middle of it", function()
        local site = start({ "--workers", "2" })
        local pids, crowd, publishers = site:worker_pids(), connect_to_each(site, 2), connect_to_each(site, 2)
        local keeper = crowd[pids[1]]
        listen(keeper, "/t/listen/chat")
        send(publishers[pids[2]], "/t/many/chat/1000000")
        assert.matches("^number 1 ", read_line(keeper))
        posix_signal.kill(pids[2], posix_signal.SIGKILL)
        site:wait_status("a successor", function(status)
            return #status.workers == 2 and status.workers[2].pid ~= pids[2] and #site:worker_pids() == 2
        end)
        connect_to_each(site, 2)
        for pid, connection in pairs(connect_to_each(site, 2)) do
            connection:request("GET", "/t/publish/chat/from-" .. pid)
            local line
            repeat
                line = read_line(keeper)
            until not line:find("^number")
            assert.matches(("^from%%-%d "):format(pid), line)
        end
    end)

    it("reach workers that were added later", function()
        local site = start({ "--workers", "1" })
        local first = site:connect()
        listen(first, "/t/listen/chat")
        assert.equal(0, site:call("scale", "3").code)
        site:wait_status("three workers", function()
            return #site:worker_pids() == 3
        end)
        local crowd = connect_to_each(site, 3)
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/chat")
        end
        for pid in pairs(crowd) do
            local _ = pid
            site:get("/t/publish/chat/hello")
            assert.equal("hello 0", read_line(first))
            for _, connection in pairs(crowd) do
                assert.equal("hello 0", read_line(connection))
            end
        end
    end)

    it("still reach the requests of an older generation, which keep their subscriptions", function()
        local site = start({ "--workers", "2" })
        local old, new = site:connect(), site:connect()
        send(old, "/t/listen/chat")
        assert.equal("1", read_line(old):match(" (%d)$"))
        site:write("t.lua", (APP:gsub("VERSION = 1", "VERSION = 2")))
        site:wait_log("generation 2 is live")
        send(new, "/t/listen/chat")
        assert.equal("2", read_line(new):match(" (%d)$"))
        site:get("/t/publish/chat/both")
        assert.equal("both 0", read_line(old))
        assert.equal("both 0", read_line(new))
        site:get("/t/publish/chat/stop")
        assert.equal("end 0", read_line(old))
        site:wait_status("the old generation to end", function(status)
            for _, worker in ipairs(status.workers) do
                if worker.generations_alive ~= 1 then
                    return false
                end
            end
            return true
        end)
    end)

    it("carry messages of up to a million bytes and refuse larger ones", function()
        local site = start({ "--workers", "2" })
        local crowd = connect_to_each(site, 2)
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/huge")
        end
        for _ = 1, 5 do
            assert.equal("ok", site:get("/t/huge/huge/999990").body)
            for _, connection in pairs(crowd) do
                assert.equal("999990 bytes of h 0", read_line(connection))
            end
        end
        assert.equal("too_large", site:get("/t/huge/huge/1000000").body)
    end)

    it("leave no subscription behind when clients go", function()
        local site = start({ "--workers", "1" })
        local crowd = {}
        for i = 1, 20 do
            crowd[i] = site:connect()
            listen(crowd[i], "/t/listen/chat")
        end
        assert.equal(20, cjson.decode(site:get("/t/subscriptions").body).count)
        for i = 1, 20 do
            crowd[i]:close()
        end
        process.wait_for("the subscriptions to end", function()
            return cjson.decode(site:get("/t/subscriptions").body).count == 0
        end)
    end)

    it("take no harm from strangers who ring the bell", function()
        local site = start({ "--workers", "2" })
        local crowd = connect_to_each(site, 2)
        for _, connection in pairs(crowd) do
            listen(connection, "/t/listen/chat")
        end
        local rung = ring_all_bells()
        site:get("/t/publish/chat/hello")
        for _, connection in pairs(crowd) do
            assert.equal("hello 0", read_line(connection))
        end
        assert.is_true(rung >= 2, "nobody was rung")
    end)
end)
