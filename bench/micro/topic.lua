--- What topics cost: `build/moonloop run bench/micro/topic.lua`. Within a process: microseconds to publish to so
--- many subscribers, and to receive. Between workers of a server that it starts: messages a second from one publisher
--- until every subscriber has them all: with acknowledgements, and as fast as it can. Prints machine and commit.

local moonloop = require("moonloop")
local http = require("moonloop.http")

local ROUNDS, MESSAGES = 5, 200000
local MACHINE = "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs; nproc; git describe --always --dirty"

local APP = [[
local ffi = require("ffi")
pcall(ffi.cdef, "int getpid(void);")
local moonloop = require("moonloop")
local app = moonloop.app()
local WINDOW = 2000

app:get("/pid", function() return tostring(ffi.C.getpid()) end)

app:get("/count/{total:int}", function(req, res)
    local sub = moonloop.topic("bench"):subscribe({ queue = 1000000, bytes = 2 ^ 30 })
    local count, lost = 0, 0
    res:write("ready\n")
    while count + lost < req.params.total do
        local _, missed = sub:recv()
        count, lost = count + 1, lost + missed
        if count % WINDOW == 0 then
            moonloop.topic("acks"):publish(count)
        end
    end
    res:write(lost .. " lost\n")
end)

-- With subscribers that acknowledge, at most two windows are under way.
app:get("/publish/{total:int}/{subscribers:int}", function(req)
    local topic, message = moonloop.topic("bench"), { user = "Ada", text = ("x"):rep(60), number = 1 }
    local acks, awaited = moonloop.topic("acks"):subscribe(), 0
    for i = 1, req.params.total do
        message.number = i
        topic:publish(message)
        if i % WINDOW == 0 and req.params.subscribers > 0 then
            for _ = 1, awaited do
                acks:recv()
            end
            awaited = req.params.subscribers
        elseif i % 100 == 0 then
            moonloop.sleep(0) -- or the watchdog ends it
        end
    end
    return "done\n"
end)

return app
]]

local function show(name, value, unit)
    print(("%-52s %12.3f %s"):format(name, value, unit))
end

local function best_of(fn)
    local best = math.huge
    for _ = 1, ROUNDS do
        collectgarbage()
        best = math.min(best, fn())
    end
    return best
end

-- ---- within a process ----

local function seconds_to(fn, times)
    local begin = moonloop.now()
    for i = 1, times do
        fn(i)
    end
    return moonloop.now() - begin
end

local function within(nsubscribers)
    local topic, subs, times = moonloop.topic("micro"), {}, 1000
    for i = 1, nsubscribers do
        subs[i] = topic:subscribe({ queue = times })
    end
    local received = math.huge
    local published = best_of(function()
        local seconds = seconds_to(function(i)
            topic:publish(i)
        end, times)
        for _, sub in ipairs(subs) do
            received = math.min(received, seconds_to(function()
                sub:recv()
            end, times))
        end
        return seconds
    end)
    show(("publish a number to %d here"):format(nsubscribers), published / times * 1e6, "us")
    if nsubscribers > 0 then
        show("receive one that is there", received / times * 1e6, "us")
    end
    for _, sub in ipairs(subs) do
        sub:close()
    end
end

-- ---- between workers ----

local function start(nworkers)
    local dir = io.popen("mktemp -d"):read("*l")
    assert(os.execute(("mkdir %s/apps"):format(dir)) == 0)
    local file = assert(io.open(dir .. "/apps/index.lua", "w"))
    file:write(APP)
    file:close()
    local binary = io.popen("readlink /proc/$PPID/exe"):read("*l")
    local site = moonloop.process.spawn({ binary, "serve", dir .. "/apps", "--workers", tostring(nworkers), "--bind",
        "127.0.0.1:0" }, { stderr = "discard" })
    for line in site.stdout:lines() do
        local url = line:match("^http://%S+")
        if url then
            return site, url, dir
        end
    end
    error("the server did not start")
end

--- A client with one connection to each worker.
local function clients_of(url, nworkers)
    local clients, count = {}, 0
    while count < nworkers do
        local client = http.client({ base_url = url, connections = 1, timeout = 60 })
        local pid = client:get("/pid"):body()
        if not clients[pid] then
            clients[pid], count = client, count + 1
        end
    end
    local list = {}
    for _, client in pairs(clients) do
        list[#list + 1] = client
    end
    return list
end

local function between(nsubscribers, is_acknowledged)
    local site, url, dir = start(nsubscribers + 1)
    local clients = clients_of(url, nsubscribers + 1)
    local lost, acknowledged = 0, is_acknowledged and nsubscribers or 0
    local seconds = best_of(function()
        local answers = {}
        for i = 1, nsubscribers do
            local next_chunk = clients[i]:get("/count/" .. MESSAGES):chunks()
            assert(next_chunk() == "ready\n")
            answers[i] = next_chunk
        end
        local begin = moonloop.now()
        moonloop.gather(function()
            clients[nsubscribers + 1]:get(("/publish/%d/%d"):format(MESSAGES, acknowledged)):body()
        end, function()
            for _, next_chunk in ipairs(answers) do
                lost = lost + tonumber(next_chunk():match("^%d+"))
                next_chunk()
            end
        end)
        return moonloop.now() - begin
    end)
    show(("one publisher, %d other worker%s%s"):format(nsubscribers, nsubscribers == 1 and "" or "s",
        is_acknowledged and ", which acknowledge" or ""),
        MESSAGES / seconds / 1000, "thousand messages/s")
    show("  lost, of all that each should get", lost / (nsubscribers * MESSAGES * ROUNDS) * 100, "%")
    site:kill("TERM")
    site:wait()
    os.execute("rm -r " .. dir)
end

for line in io.popen(MACHINE):lines() do
    print(line)
end
within(0)
within(1)
within(100)
between(1, true)
between(4, true)
between(1)
between(4)
