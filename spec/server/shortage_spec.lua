--- Memory refused at every allocation of a request, one by one: the process lives, the answer is right or says
--- that it failed, nothing stays behind. Only in builds that can refuse it (STRESS, SANITIZE).
---
--- Each kind of request is tried with one allocation refused, and with all of them from there on. Many kinds have
--- more allocations than there is time for: then some are tried, others in the next run.
--- SLOW_SPECS=1 tries all.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")
local process = require("spec.support.process")
local server = require("spec.support.server")
local shortage = require("spec.support.shortage")
local socket = require("socket")

local TRIED = os.getenv("SLOW_SPECS") and 1e9 or 24 -- of a kind, in each of both ways
local ANSWER_SECONDS = 5

local LARGE = ("0123456789"):rep(shortage.is_regular and 300 or 30000) -- read byte by byte, or not

local APP = "local LARGE = " .. #LARGE / 10 .. [==[

    local SENT = os.getenv("SPEC_SENT_FILE")
    local ZIPPED = "\031\139\008\000\000\000\000\000\002\003\043\205\171\202\044\040\072\077\081\040\029\101\208\146\001\000\222\232\229\007\104\001\000\000"

    local moonloop = require("moonloop")
    local http = require("moonloop.http")
    local tasks = require("moonloop.core.task")
    local app = moonloop.app()
    local counter = moonloop.shared("counter")

    app:get("/hello", function() return "hello" end)
    app:get("/params/{id:int}/{name}", function(req)
        return { req.params.id, req.params.name, req.query.q, req.headers["user-agent"] }
    end)
    app:post("/json", function(req) return { got = req:json() } end)
    app:post("/form", function(req) return req:form().name end)
    app:post("/upload", function(req) return #req:body() .. " bytes" end)
    app:any("/body", function(req) return #req:body() .. " bytes" end)
    app:post("/chunks", function(req)
        local count = 0
        for chunk in req:chunks() do count = count + #chunk end
        return count .. " bytes"
    end)
    app:get("/stream", function(req, res)
        for i = 1, 5 do res:write("line " .. i .. "\n") moonloop.sleep(0) end
    end)
    app:get("/large", function() return ("0123456789"):rep(LARGE) end)
    app:get("/error", function() error("on purpose") end)
    app:get("/abort", function() moonloop.abort(404, "no such thing") end)
    app:get("/cookie", function(req, res)
        res:cookie("a", req.cookies.b)
        res.headers["x-list"] = { "1", "2" }
        return "cookie", 201, { ["x-own"] = "yes" }
    end)
    app:get("/sleep", function()
        moonloop.sleep(0.001)
        return "slept"
    end)
    app:get("/tasks", function()
        local out = moonloop.map({ 1, 2, 3, 4 }, function(n) moonloop.sleep(0) return n * n end, { limit = 2 })
        local ok, err = pcall(moonloop.timeout, 0.001, moonloop.sleep, 10)
        if type(err) ~= "table" then error(err, 0) end
        local task = moonloop.spawn(moonloop.sleep, 10)
        task:cancel()
        local winner = moonloop.race(function() moonloop.sleep(0) return "a" end, function() moonloop.sleep(10) end)
        local channel = moonloop.channel(1)
        moonloop.spawn(function() channel:send("b") end)
        return table.concat(out, ",") .. tostring(not ok and err.code) .. winner .. channel:recv()
    end)
    app:get("/offload", function() return moonloop.offload(function(a, b) return a .. b end, "off", "load") end)
    app:get("/shared", function()
        counter:set("key", { n = 1 })
        counter:incr("hits", 1)
        return tostring(counter:get("key").n)
    end)
    app:get("/after", function(req)
        req:after(function() moonloop.sleep(0) end)
        return "after"
    end)
    app:get("/fetch", function(req) return http.get("http://" .. req.host .. ":" .. req.query.port .. "/hello"):body() end)
    app:get("/fetch-stream", function(req)
        local res, count = http.get("http://127.0.0.1:" .. req.query.port .. "/large"), 0
        for chunk in res:chunks() do count = count + #chunk end
        return count .. " bytes"
    end)
    app:get("/save", function(req)
        local path = os.tmpname()
        local ok, err = pcall(function()
            return http.get("http://127.0.0.1:" .. req.query.port .. "/large"):save(path)
        end)
        os.remove(path)
        if not ok then error(err, 0) end
        return "saved"
    end)
    app:get("/send", function(req)
        return http.put("http://127.0.0.1:" .. req.query.port .. "/body", { body = http.file(SENT) }):body()
    end)
    app:get("/send-parts", function(req)
        local parts = { name = "value", file = http.file(SENT, { type = "text/plain" }) }
        local text = http.post("http://127.0.0.1:" .. req.query.port .. "/chunks", { multipart = parts }):body()
        return tonumber(text:match("^%d+")) > LARGE * 10 and "sent" or text
    end)
    app:get("/tls", function(req)
        local client = http.client({ ca_file = req.query.ca })
        local url = "https://" .. req.query.host .. ":" .. req.query.tls .. "/hello"
        local ok, res = pcall(client.get, client, url)
        if ok then return res:body() end
        return req.query.host == "127.0.0.1" and type(res) == "table" and res.code or error(res, 0)
    end)
    app:get("/gzip", function(req)
        return http.get("http://127.0.0.1:" .. req.query.port .. "/zipped"):body()
    end)
    app:get("/zipped", function(_, res)
        res.headers["content-encoding"] = "gzip"
        return ZIPPED
    end)
    app:get("/passed/hello", function(req)
        return moonloop.proxy(req, "http://127.0.0.1:" .. req.query.port, { strip = "/passed" })
    end)
    app:sse("/events", function(stream)
        stream:send({ data = "one", id = "1" })
        stream:send("two")
    end)
    app:ws("/echo", { compress = true, max_message = 1e6 }, function(ws)
        for message in ws:messages() do ws:send(message) end
    end)
    local function exchange(client, port)
        local ws, count = client:websocket("ws://127.0.0.1:" .. port .. "/echo", { compress = true }), 0
        for _, text in ipairs({ "a", ("b"):rep(1000), ("cd"):rep(LARGE) }) do
            ws:send(text)
            ws:send(text)
            count = count + #(ws:receive() or "") + #(ws:receive() or "")
        end
        ws:close()
        return count == 2 * (1001 + 2 * LARGE) and "echoed" or error("cut short: " .. tostring(ws.close_reason), 0)
    end
    app:get("/sockets", function(req)
        return exchange(http.client({ idle = 0.001 }), req.query.port) -- a refusal leaves no connection in the pool
    end)
    app:get("/where", function()
        return { pid = tonumber(io.open("/proc/self/stat"):read("*n")) }
    end)
    app:get("/counts", function()
        collectgarbage()
        collectgarbage()
        return tasks.counts()
    end)
    return app
]==]

---One request as bytes; the answer, or nil where the connection ended first.
local function ask(site, bytes)
    local connection = site:connect()
    connection:set_timeout(ANSWER_SECONDS)
    local sent = connection:send(bytes)
    local ok, answer, reason = pcall(connection.read_response, connection)
    connection:close()
    if not ok then
        return nil, "closed" -- in the middle of it
    end
    return sent and answer or nil, reason or "closed"
end

local function get(target)
    return function(places)
        return "GET " .. target:gsub("%u%u+", places) .. " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    end
end

local function post(target, content_type, body)
    return function()
        return ("POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\n"
            .. "Content-Length: %d\r\n\r\n%s"):format(target, content_type, #body, body)
    end
end

local MULTIPART = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' .. ("y"):rep(5000)
    .. "\r\n--x--\r\n"

---A request of one's own, over a new connection with TLS.
---@param site spec.Server
---@param places table<string, any>
local function get_secretly(site, places, target)
    local client = http.client({ ca_file = places.CA, timeout = ANSWER_SECONDS, idle = 0.001 })
    local ok, res = pcall(client.get, client, "https://localhost:" .. site.port .. target)
    local body
    if ok then
        ok, body = pcall(res.body, res)
        res = ok and res or body
    end
    if ok then
        return { status = res.status, body = body }
    end
    return nil, type(res) == "table" and res.code == "timeout" and "timeout" or "closed"
end

---@class Kind: { name: string, bytes?: (fun(places: table<string, any>): string), status?: integer, body?: string }
---@field target? string of a request with TLS to the server that has it
---@field ask? fun(site: spec.Server): table another way to ask; answers as `ask`
---@field is_master? boolean it is refused memory, not the worker
---@field last? integer so many of its allocations are always tried
---@field may_end? boolean an answer that stops is one, too

local function reload(site)
    local result = site:call("reload", "--wait")
    return { status = result.code == 0 and 200 or 500, body = result.out .. result.err }
end

---@type Kind[]
local KINDS = {
    { name = "a greeting", bytes = get("/hello"), body = "hello" },
    { name = "parameters", bytes = get("/params/12/a%20b?q=%41"), body = '[12,"a b","A"]' },
    { name = "JSON both ways", bytes = post("/json", "application/json", '{"a":[1,2,{"b":"c"}]}'),
        body = '{"got":{"a":[1,2,{"b":"c"}]}}' },
    { name = "a form", bytes = post("/form", "application/x-www-form-urlencoded", "name=o%27neil&b=2"),
        body = "o'neil" },
    { name = "an upload", bytes = post("/upload", "multipart/form-data; boundary=x", MULTIPART),
        body = #MULTIPART .. " bytes" },
    { name = "a body of many reads", bytes = post("/body", "text/plain", LARGE), body = #LARGE .. " bytes" },
    { name = "a body in chunks", body = "10 bytes", bytes = function()
        return "POST /chunks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .. "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
    end },
    { name = "a streamed answer", bytes = get("/stream"), body = "line 1\nline 2\nline 3\nline 4\nline 5\n" },
    { name = "a large answer", bytes = get("/large"), body = LARGE },
    { name = "a path that nobody serves", bytes = get("/nothing/here"), status = 404, body = "not found\n" },
    { name = "a failing handler", bytes = get("/error"), status = 500, body = "internal server error\n" },
    { name = "an aborting handler", bytes = get("/abort"), status = 404, body = "no such thing" },
    { name = "cookies and headers", bytes = get("/cookie"), status = 201, body = "cookie" },
    { name = "a malformed request", bytes = function() return "GET / HTTP/1.1\r\nHost : a\r\n\r\n" end, status = 400 },
    { name = "a sleep", bytes = get("/sleep"), body = "slept" },
    { name = "tasks, deadlines, cancellation", bytes = get("/tasks"), body = "1,4,9,16timeoutab" },
    { name = "an offload", bytes = get("/offload"), body = "offload" },
    { name = "the shared dictionary", bytes = get("/shared"), body = "1" },
    { name = "work after the answer", bytes = get("/after"), body = "after" },
    { name = "a fetch", bytes = get("/fetch?port=PORT"), body = "hello" },
    { name = "a passed request", bytes = get("/passed/hello?port=PORT"), body = "hello" },
    { name = "a body in gzip", bytes = get("/gzip?port=PORT"), body = ("unzipped "):rep(40) },
    { name = "a fetch with TLS", bytes = get("/tls?host=localhost&tls=TLS&ca=CA"), body = "hello" },
    { name = "a certificate for somebody else", bytes = get("/tls?host=127.0.0.1&tls=TLS&ca=CA"), body = "tls",
        last = 70 }, -- OpenSSL itself once did without looking at the name
    { name = "a streamed fetch", bytes = get("/fetch-stream?port=PORT"), body = #LARGE .. " bytes" },
    { name = "events", bytes = get("/events"), body = "id: 1\ndata: one\n\ndata: two\n\n",
        may_end = true },
    { name = "WebSockets at both ends", bytes = get("/sockets?port=OWN"), body = "echoed" },
    { name = "a file that is sent", bytes = get("/send?port=PORT"), body = #LARGE .. " bytes" },
    { name = "a file that is sent in parts", bytes = get("/send-parts?port=PORT"), body = "sent" },
    { name = "a TLS handshake", target = "/hello", body = "hello" },
    { name = "a large answer with TLS", target = "/large", body = LARGE },
    { name = "a reload", ask = reload },
    { name = "a reload in the master", ask = reload, is_master = true },
    { name = "a saved fetch", bytes = get("/save?port=PORT"), body = "saved" },
}

---What is wrong with what came; nil: it is the answer, or says that it failed.
local function complaint(kind, answer, reason)
    if not answer then
        return reason ~= "closed" and "no answer: " .. reason or nil
    elseif answer.status == (kind.status or 200) then
        local is_right = not kind.body or answer.body == kind.body
            or kind.may_end and answer.body == kind.body:sub(1, #answer.body) -- such a client comes again
        return not is_right and "a wrong answer: " .. answer.body:sub(1, 200) or nil
    elseif answer.status ~= 500 and answer.status ~= 503 and answer.status ~= 502 then
        return "status " .. answer.status .. ": " .. answer.body:sub(1, 200)
    end
end

describe("memory that is refused", function()
    if not shortage.is_built then
        pending("this build cannot refuse memory")
        return
    end

    local cjson = require("cjson")
    local dir, authority, memory, places
    local open, secure ---@type Subject, Subject

    setup(function()
        dir = command.directory()
        memory = shortage.new(dir)
        authority = certificates.authority()
        certificates.issue(authority, "good", "DNS:localhost")
        places = {
            PORT = server.start({ apps = { ["index.lua"] = APP } }).port,
            TLS = server.start({ apps = { ["index.lua"] = APP }, options = { "--workers", "1", "--certfile",
                authority .. "/good.pem", "--keyfile", authority .. "/good.key" } }).port,
            CA = authority .. "/ca.pem",
        }
        memory.env.SPEC_SENT_FILE = dir .. "/sent"
        command.write(dir .. "/sent", LARGE)
        local options = { "--workers", "1", "--threads", "1", "--no-reload" }
        local site = server.start({ apps = { ["index.lua"] = APP }, env = memory.env, options = options })
        open = { site = site, get = function(target) return site:get(target) end }
        for _, word in ipairs({ "--certfile", authority .. "/good.pem", "--keyfile", authority .. "/good.key" }) do
            options[#options + 1] = word
        end
        local secure_site = server.start({ apps = { ["index.lua"] = APP }, env = memory.env, options = options })
        secure = { site = secure_site, get = function(target)
            return assert(get_secretly(secure_site, places, target))
        end }
        places.OWN = site.port
    end)

    teardown(function()
        memory:disarm()
        server.clean()
        command.remove(dir)
        command.remove(authority)
    end)

    ---@class Subject a server whose worker is refused memory
    ---@field site spec.Server
    ---@field get fun(target: string): table
    ---@field pid integer of the worker

    local function subject_of(kind)
        local subject = kind.target and secure or open
        subject.pid = kind.is_master and subject.site:pid() or cjson.decode(subject.get("/where").body).pid
        return subject
    end

    local function send(subject, kind)
        if kind.ask then
            return kind.ask(subject.site)
        elseif kind.target then
            return get_secretly(subject.site, places, kind.target)
        end
        return ask(subject.site, kind.bytes(places))
    end

    local function expect_right(subject, kind)
        local answer, reason = send(subject, kind)
        assert.is_nil(complaint(kind, answer, reason))
        assert.equal(kind.status or 200, answer.status, answer.body)
    end

    local function counts(subject)
        local answer = subject.get("/counts")
        assert.equal(200, answer.status)
        return cjson.decode(answer.body)
    end

    ---Until there is no more than was wanted; without that, until it stays the same.
    local function counts_at_rest(subject, wanted)
        local before, now
        for _ = 1, 100 do
            before, now = now, counts(subject)
            local limit = wanted or before
            if limit and now.tasks <= limit.tasks and now.timers <= limit.timers and now.handles <= limit.handles
                and now.waits <= limit.waits then
                return now
            end
            socket.sleep(0.01)
        end
        return now
    end

    local function try(subject, kind, from, count, baseline)
        local site, pid = subject.site, subject.pid
        memory:arm(pid, from, count)
        local answer, reason = send(subject, kind)
        local seen, refused = memory:disarm()
        local wrong = complaint(kind, answer, reason)
        if not process.exists(pid) then
            pcall(site.wait_log, site, " is gone", 5)
            return "the worker died", seen, refused
        end
        local next_answer = select(2, pcall(subject.get, "/hello"))
        if type(next_answer) ~= "table" or next_answer.body ~= "hello" then
            wrong = (wrong or "") .. " the next request is not served: "
                .. tostring(type(next_answer) == "table" and next_answer.status or next_answer)
        elseif not wrong then
            local now = counts_at_rest(subject, baseline)
            for _, what in ipairs({ "tasks", "timers", "handles", "waits" }) do
                if now[what] > baseline[what] then
                    wrong = ("left behind: %d %s, before it were %d"):format(now[what], what, baseline[what])
                end
            end
        end
        return wrong, seen, refused
    end

    ---A worker whose collector could not go on, in this kind of request or one before, hands over to another in order.
    local function was_replaced(subject)
        return subject.site:log():find(("(pid %d) has had no memory for new requests for seconds: replacing it"):format(
            subject.pid), 1, true) ~= nil
    end

    ---@return Subject
    ---@return table baseline what it holds at rest
    local function prepare(kind)
        local subject = subject_of(kind)
        for _ = 1, 3 do -- what is made once
            expect_right(subject, kind)
        end
        return subject, counts_at_rest(subject)
    end

    for _, kind in ipairs(KINDS) do
        it("fails " .. kind.name .. " alone", function()
            local subject, baseline = prepare(kind)
            memory:arm(subject.pid, 0)
            expect_right(subject, kind)
            local total = memory:disarm()
            local stride = math.max(1, math.ceil(total / TRIED))
            for _, count in ipairs({ 1, shortage.ALL }) do
                local from = math.random(stride)
                while from <= total do
                    local wrong, _, refused = try(subject, kind, from, count, baseline)
                    if wrong and was_replaced(subject) then
                        subject, baseline = prepare(kind)
                    elseif wrong then
                        error(("allocation %d of %d (%d refused): %s\n%s"):format(from, total, refused, wrong,
                            subject.site:log():sub(-3000)), 0)
                    end
                    from = from + (from > total - (kind.last or 0) and 1 or stride)
                end
            end
        end)
    end
end)

describe("memory that has run out", function()
    if server.is_sanitized then
        pending("a sanitizer wants more addresses than ulimit -v leaves")
        return
    end

    after_each(server.clean)

    it("ends the requests that took it, and what they held is there again for others", function()
        local site = server.start({ prefix = "ulimit -v 1500000;", options = { "--workers", "1", "--threads", "1" },
            apps = { ["index.lua"] = [[
                local app = require("moonloop").app()
                app:get("/hello", function() return "hello" end)
                app:get("/tables", function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)
                app:get("/text", function() local s = "x" while true do s = s .. s end end)
                jit.off() -- LuaJIT itself does not stand it everywhere in compiled code
                return app
            ]] } })
        local pid = site:worker_pids()[1]
        for _ = 1, 2 do
            for _, target in ipairs({ "/tables", "/text" }) do
                assert.equal(500, site:get(target).status)
                assert.equal("hello", site:get("/hello").body)
            end
        end
        assert.equal(pid, site:worker_pids()[1])
        site:wait_log("not enough memory")
    end)

    it("for good is a reason to be replaced: new requests are not turned away for ever", function()
        local site = server.start({ prefix = "ulimit -v 1500000;", options = { "--workers", "1", "--threads", "1" },
            apps = { ["index.lua"] = [[
                local ffi = require("ffi")
                ffi.cdef("void *mmap(void *, size_t, int, int, int, long);")
                local app = require("moonloop").app()
                app:get("/hello", function() return "hello" end)
                app:get("/hold", function() -- all addresses that there are, for as long as this process lives
                    local size = 2 ^ 30
                    while size >= 4096 do
                        if ffi.cast("intptr_t", ffi.C.mmap(nil, size, 0, 0x4022, -1, 0)) == -1 then
                            size = size / 2
                        end
                    end
                    return "held"
                end)
                return app
            ]] } })
        local pid = site:worker_pids()[1]
        pcall(site.get, site, "/hold")
        local held = {}
        process.wait_for("memory to be out", function() -- what each connection takes comes from the reserve in the end
            held[#held + 1] = site:connect()
            local ok, answer = pcall(held[#held].request, held[#held], "GET", "/hello")
            return ok and answer and answer.status == 503
        end)
        site:wait_log("worker 1 (pid " .. pid .. ") has had no memory for new requests for seconds: replacing it")
        process.wait_for("the successor", function()
            local ok, answer = pcall(site.get, site, "/hello")
            return ok and answer.status == 200 and site:worker_pids()[1] ~= pid
        end)
    end)

    -- LuaJIT makes its table of strings smaller when a collection ends, and does not begin another without that.
    it("also for the collector, which has no way on then, is survived in order", function()
        local site = server.start({ prefix = "ulimit -v 1500000;",
            options = { "--workers", "1", "--threads", "1", "--block-limit", "60" },
            apps = { ["index.lua"] = [[
                local moonloop = require("moonloop")
                local app = moonloop.app()
                app:get("/hello", function() return "hello" end)
                app:get("/sleep", function() moonloop.sleep(3) return "slept" end)
                app:get("/strings", function()
                    local t = {}
                    for i = 1, 3e6 do t[i] = "a" .. i end
                    return "made"
                end)
                app:get("/list", function() local list while true do list = { list } end end)
                jit.off() -- LuaJIT itself does not stand it everywhere in compiled code
                return app
            ]] } })
        local pid = site:worker_pids()[1]
        assert.equal("made", site:get("/strings").body)
        for _ = 1, 3 do
            local sleeper = site:connect()
            sleeper:send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.is_true(site:get("/list").status >= 500)
            local status = sleeper:read_response().status
            assert.is_true(status == 200 or status == 503, status) -- accepted before, or not
        end
        process.wait_for("a worker that has memory", function()
            return site:get("/hello").status == 200
        end)
        assert.not_matches("PANIC", site:log())
        assert.not_matches("(pid " .. pid .. ") died", site:log(), 1, true)
    end)
end)
