--- What bench/soak asks for: everything a handler can wait for, hold, send or break, in one app. Every answer
--- can be told beforehand by who asks. X-Worker names the process that answered.

local ffi = require("ffi")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local places = require("places")

ffi.cdef([[
    int getpid(void);
    struct moonloop_soak_heap { // mallinfo2(3)
        size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
    } mallinfo2(void);
]])

local PATTERN = ("0123456789abcdef"):rep(4096) -- 64 KB
local WORKER = tostring(ffi.C.getpid())

local app = moonloop.app()
local counters = moonloop.shared("counters")
local notes = moonloop.shared("notes")
local client = http.client({ base_url = places.origin, timeout = 10, connections = 16, idle = 2 })
local sealed = http.client({ base_url = places.sealed, timeout = 10, connections = 8, idle = 2, ca_file = places.ca })
local pool = moonloop.pool({ kind = "process", name = "soak", size = 1, queue = 200 })

app:use(function(_, res, next)
    res.headers["X-Worker"] = WORKER
    return next()
end)

local function sum_to(n)
    local sum = 0
    for i = 1, n do
        sum = sum + i
    end
    return sum
end

-- Plain answers.
app:get("/", function() return "hello\n" end)
app:get("/item/{id:int}/{word}", function(req)
    return { id = req.params.id, word = req.params.word, tag = req.query.tag, agent = req.headers["user-agent"] }
end)
app:post("/json", function(req) return req:json() end)
app:post("/form", function(req)
    local form = req:form()
    return { a = form.a, b = form.b }
end)
app:get("/nothing", function() return nil end)

-- Bodies.
app:post("/echo", function(req) return req:body() end)
app:post("/through", function(req, res)
    res:begin()
    for chunk in req:chunks() do
        res:write(chunk)
    end
end)
app:post("/unread", function() return "not looked at\n" end)
app:get("/bytes/{n:int}", function(req)
    local n = req.params.n
    return PATTERN:rep(math.floor(n / #PATTERN)) .. PATTERN:sub(1, n % #PATTERN)
end)
app:get("/stream/{n:int}", function(req, res)
    for i = 1, req.params.n do
        res:write(i .. "\n")
        moonloop.sleep(0.005)
    end
end)
app:get("/flood", function(_, res)
    for _ = 1, 400 do
        res:write(PATTERN)
    end
end)

-- Waiting.
app:get("/sleep/{seconds:number}", function(req)
    moonloop.sleep(req.params.seconds)
    return "awake\n"
end)
app:get("/tasks/{n:int}", function(req)
    local list = {}
    for i = 1, req.params.n do
        list[i] = i
    end
    local squares = moonloop.map(list, function(i)
        moonloop.sleep(0.001 * (i % 5))
        return i * i
    end, { limit = 8 })
    local first = moonloop.race(function() return "quick" end, function() moonloop.sleep(60) end)
    moonloop.spawn(moonloop.sleep, 60) -- ends with the request
    return { squares = squares, first = first }
end)
app:get("/late", { timeout = 0.2 }, function() moonloop.sleep(60) end)
app:get("/channel/{n:int}", function(req)
    local channel, sum = moonloop.channel(4), 0
    moonloop.spawn(function()
        for i = 1, req.params.n do
            channel:send(i)
        end
        channel:close()
    end)
    for i in channel do
        sum = sum + i
    end
    return tostring(sum)
end)

-- Asking others.
app:get("/fetch/{n:int}", function(req) return client:get("/item/" .. req.params.n):body() end)
app:get("/sealed/{n:int}", function(req) return sealed:get("/item/" .. req.params.n):body() end)
app:get("/five/{n:int}", function(req)
    local list = {}
    for i = 1, 5 do
        list[i] = req.params.n + i
    end
    return table.concat(moonloop.map(list, function(n) return client:get("/item/" .. n):body() end))
end)
app:get("/hung", function() return client:get("/hang", { timeout = 0.2 }):body() end)
app:get("/cut", function() return client:get("/cut"):body() end)
app:any("/proxy/{path...}", function(req)
    return moonloop.proxy(req, places.origin, { strip = "/proxy" })
end)

-- Other threads and processes.
app:get("/offload/{n:int}", function(req) return tostring(moonloop.offload(sum_to, req.params.n)) end)
app:get("/thread/{n:int}", { run = "thread" }, function(req) return tostring(sum_to(req.params.n)) end)
app:get("/process/{n:int}", function(req) return tostring(pool:run(sum_to, req.params.n)) end)
app:post("/program", function(req)
    return moonloop.process.run({ "tr", "a-z", "A-Z" }, { stdin = req:body(), timeout = 10, check = true }).stdout
end)

-- Between workers.
app:post("/count/{name}", function(req) return tostring(counters:incr(req.params.name)) end)
app:get("/counters", function()
    local all = {}
    for _, key in ipairs(counters:keys()) do
        all[key] = counters:get(key)
    end
    return { counters = all }
end)
app:put("/notes/{key}", function(req) notes:set(req.params.key, { text = req:body() }, 30) end)
app:get("/notes/{key}", function(req)
    local note = notes:get(req.params.key)
    return note and note.text or moonloop.abort(404, "no such note\n")
end)
app:delete("/notes/{key}", function(req) return tostring(notes:delete(req.params.key)) end)
app:post("/locked/{name}", function(req)
    return moonloop.lock(req.params.name, { ttl = 10 }):with(function()
        moonloop.sleep(0.002)
        return "held\n"
    end)
end)
app:get("/listen/{room}", function(req, res)
    local room = moonloop.topic("room/" .. req.params.room):subscribe()
    res:write("ready\n")
    res:write(room:recv() .. "\n")
end)
app:post("/say/{room}", function(req) moonloop.topic("room/" .. req.params.room):publish(req:body()) end)

app:ws("/socket", { drain_timeout = 5 }, function(ws)
    for message, kind in ws:messages() do
        ws:send(kind == "binary" and { binary = message } or message)
    end
end)
app:sse("/events/{n:int}", function(stream, req)
    for i = 1, req.params.n do
        stream:send({ id = i, data = "event " .. i })
        moonloop.sleep(0.005)
    end
end)

-- Beside the requests.
app:every(0.25, function() counters:incr("ticks") end, { name = "tick", once = "server" })
app:post("/after", function(req)
    req:after(function() counters:incr("after") end)
    return "answered\n"
end)
app:post("/background", function()
    app:background("job", function() moonloop.sleep(0.01) end)
    return "begun\n"
end)

-- What goes wrong.
app:get("/error", function() error("this is meant to fail") end)
app:get("/abort/{status:int}", function(req) moonloop.abort(req.params.status, "aborted\n") end)
app:get("/runaway", function() while true do end end) -- luacheck: ignore
app:get("/half", function(_, res)
    res:write("half")
    moonloop.sleep(0.01) -- it has left
    error("this is meant to cut the answer")
end)

local function collect()
    for _ = 1, 16 do
        collectgarbage() -- each halves the buffer that LuaJIT keeps for long strings
    end
end

local function collect_slowly() -- so that another thread takes the next job
    for _ = 1, 2 do
        collectgarbage()
    end
    require("moonloop").sleep(0.1)
end

local function heap_bytes()
    local heap = ffi.C.mallinfo2()
    return tonumber(heap.uordblks + heap.hblkhd)
end

---Has every thread and process that there may be, so that none is counted as new that only came late, and no
---garbage in them.
local function use_all()
    moonloop.offload_map({ 1, 2, 3, 4 }, collect_slowly)
    pool:run(collect_slowly)
    client:get("/item/1"):body()
    sealed:get("/item/1"):body()
    for _ = 1, 40 do
        moonloop.topic("ring"):publish(PATTERN) -- what workers say to each other goes round in 2 MB
        moonloop.sleep(0.001)
    end
end

-- Each worker says what it holds, on demand, after a full collection: garbage is not held.
app:background("teller", function()
    local told = moonloop.shared("told")
    local ring = moonloop.topic("ring"):subscribe({ queue = 1, overflow = "drop_oldest" }) -- unheard, it is not written
    for round in moonloop.topic("tell"):subscribe() do
        if round == 0 then
            use_all()
        end
        collect() -- and no pause: who asked comes to hear what it is, on a connection that would count
        local counts = require("moonloop.core.task").counts()
        counts.lua = collectgarbage("count") * 1024
        counts.heap = heap_bytes()
        counts.round = round
        told:set(WORKER, counts, 60)
    end
    ring:close()
end)
app:post("/tell/{round:int}", function(req) moonloop.topic("tell"):publish(req.params.round) end)
app:get("/told/{pid}", function(req) return moonloop.shared("told"):get(req.params.pid) or moonloop.abort(404) end)

return app
