--- A thousand generations, one after the other, in this process: nothing of an old one is left. Through
--- the worker's own parts, because a thousand real reloads take minutes.

local core = require("spec.support.core")
local ffi = require("ffi")
local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

for _, header in ipairs({ "base/config.h", "base/fault.h", "base/snapshot.h", "loop/loop.h",
    "script/generation.h", "http/server.h" }) do
    core.declare(header)
end
ffi.cdef [[
struct mallinfo2 { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
struct mallinfo2 mallinfo2(void);
]]

local C = core.lib

local APP = [[
local moonloop = require("moonloop")
local helper = require("helper")
local app = moonloop.app()
app:use(function(req, res, next) return next() end)
app:get("/", function() return "%s" .. helper end)
app:get("/json/{id:int}", function(req, res) res.status = 201 return { id = req.params.id } end)
app:get("/raise", function() error("no") end)
app:get("/nap", function() moonloop.sleep(0.001) return "%s" end)
app:get("/long", function() moonloop.sleep(3) return "%s" end)
app:get("/spawn", function() moonloop.spawn(function() moonloop.sleep(60) end) return "gone" end)
app:on_error(function(err) return "sorry", 500 end)
return app
]]

local function write_apps(dir, text)
    process.write(dir .. "/hello.lua", (APP:gsub("%%s", text)))
    process.write(dir .. "/other.lua", (APP:gsub("%%s", "other")))
    process.write(dir .. "/broken.lua", "return +\n")
    process.write(dir .. "/_lib/helper.lua", "return ''\n")
end

--- A worker without its process: a loop, generations, an HTTP server.
local Worker = {}
Worker.__index = Worker

local function worker()
    local self = setmetatable({ dir = process.directory(), number = 0, fault = ffi.new("struct fault") }, Worker)
    process.make_directory(self.dir .. "/_lib")
    write_apps(self.dir, "first")
    self.lua_dir = require("posix.stdlib").realpath(core.root .. "lua")
    self.config = ffi.new("struct config", {
        apps_dir = ffi.cast("char *", self.dir), lua_dir = ffi.cast("char *", self.lua_dir), workers = 1,
        threads = 1, timeout_ms = 30000, block_limit_ms = 1000, header_timeout_ms = 10000,
        body_timeout_ms = 30000, keepalive_ms = 75000, graceful_timeout_ms = 1000,
        limit_request_line = 8190, limit_request_header = 32768, limit_request_fields = 100,
        max_body = 1048576, max_connections = 1000,
    })
    self.loop = C.loop_new()
    self.all = C.generations_new(self.loop, self.config, nil)
    self.server = C.http_server_new(self.loop, self.config, nil, C.generations_handler(self.all))
    self.socket = assert(socket.bind("127.0.0.1", 0))
    assert.equal(0, C.http_server_listen(self.server, self.socket:getfd(), C.HTTP_SERVES_PLAIN))
    return self
end

function Worker:build()
    self.number = self.number + 1
    local snapshot = C.snapshot_read(self.dir, self.fault)
    local generation = C.generation_build(self.all, self.number, snapshot, self.fault)
    assert(generation ~= nil, ffi.string(self.fault.text))
    return generation
end

function Worker:reload()
    C.generation_commit(self.all, self:build())
end

function Worker:connect()
    local connection = socket.tcp()
    assert(connection:connect("127.0.0.1", select(2, self.socket:getsockname())))
    connection:settimeout(0)
    return connection
end

--- Runs the loop until the connection has its answer; the body.
function Worker:read(connection)
    local text = ""
    for _ = 1, 100000 do
        local bytes, _, part = connection:receive(65536)
        text = text .. (bytes or part or "")
        local length = tonumber(text:match("Content%-Length: (%d+)"))
        local body = text:match("\r\n\r\n(.*)")
        if body and length and #body >= length then
            return body
        end
        C.loop_turn(self.loop)
        socket.select({ connection }, nil, 0.0005) -- the loop cannot wait for its own client
    end
    error("no answer: " .. text)
end

function Worker:ask(connection, target)
    assert(connection:send("GET " .. target .. " HTTP/1.1\r\nHost: x\r\n\r\n"))
end

function Worker:get(connection, target)
    self:ask(connection, target)
    return self:read(connection)
end

--- Until the server has read what was sent: loopback delivers at once, one turn accepts, one reads.
function Worker:turn_until_active()
    for _ = 1, 3 do
        C.loop_turn(self.loop)
    end
end

--- Until old generations are gone.
function Worker:settle()
    for _ = 1, 100000 do
        if C.generations_alive(self.all) == 1 then
            return
        end
        C.loop_turn(self.loop)
        socket.sleep(0.0005)
    end
    error("old generations stay: " .. C.generations_alive(self.all))
end

function Worker:close()
    C.http_server_free(self.server)
    C.generations_free(self.all)
    C.loop_free(self.loop)
    self.socket:close()
end

local function resident_pages()
    return tonumber(process.read("/proc/self/statm"):match("^%d+ (%d+)"))
end

local function open_files()
    local count = 0
    for _ in require("posix.dirent").files("/proc/self/fd") do
        count = count + 1
    end
    return count
end

describe("a thousand reloads", function()
    after_each(process.clean)

    it("leave nothing behind", function()
        local it_works = worker()
        it_works:reload()
        local connection = it_works:connect()
        local function rounds(count)
            for i = 1, count do
                it_works:ask(connection, "/hello/nap")
                it_works:turn_until_active()
                it_works:reload()
                assert.is_true(C.generations_alive(it_works.all) >= 2) -- it sleeps on the one before
                assert.equal("first", it_works:read(connection))
                if i % 10 == 0 then
                    assert.equal("first", it_works:get(connection, "/hello/"))
                    assert.equal('{"id":7}', it_works:get(connection, "/other/json/7"))
                    assert.equal("gone", it_works:get(connection, "/other/spawn"))
                end
                if i % 100 == 0 then
                    C.generation_free(it_works:build()) -- prepared and not committed
                end
            end
            it_works:settle()
            collectgarbage()
            collectgarbage()
            return tonumber(C.mallinfo2().uordblks), resident_pages(), open_files(), C.loop_handles(it_works.loop)
        end
        local unit = server.is_sanitized and 50 or 200 -- a sanitizer sees a leak of the first one
        local bytes, pages, files, handles = rounds(unit)
        local more_bytes, more_pages, more_files, more_handles = rounds(4 * unit)
        -- What malloc keeps in its caches counts as used: some 16 KB of noise, and 40 bytes a generation would
        -- be 32 KB.
        assert.is_true(more_bytes - bytes < 32000, ("%d bytes more"):format(more_bytes - bytes))
        if bytes > 0 then -- a sanitizer counts leaks itself, and holds back what is freed
            assert.is_true(more_pages - pages < 512, ("%d pages more"):format(more_pages - pages))
        end
        assert.equal(files, more_files)
        assert.equal(handles, more_handles)
        assert.equal(1, C.generations_alive(it_works.all))
        connection:close()
        it_works:close()
    end)

    it("let each request end on its own code, and then its generation goes", function()
        local it_works = worker()
        it_works:reload()
        local crowd = {}
        for i = 1, 5 do
            crowd[i] = it_works:connect()
            write_apps(it_works.dir, "v" .. i)
            it_works:reload()
            assert.equal("v" .. i, it_works:get(crowd[i], "/hello/"))
            it_works:ask(crowd[i], "/hello/long")
            it_works:turn_until_active()
        end
        local fresh = it_works:connect()
        write_apps(it_works.dir, "last")
        it_works:reload()
        assert.equal("last", it_works:get(fresh, "/hello/"))
        assert.equal(6, C.generations_alive(it_works.all))
        for i = 1, 5 do
            assert.equal("v" .. i, it_works:read(crowd[i]))
        end
        it_works:settle()
        it_works:close()
    end)
end)

describe("a server that is reloaded again and again", function()
    after_each(server.clean)

    it("answers every request meanwhile, and has one generation in the end", function()
        local function app(text)
            return 'local app = require("moonloop").app()\napp:get("/", function() return "'
                .. text .. '" end)\nreturn app\n'
        end
        local site = server.start({ apps = { ["hello.lua"] = app("0") } })
        local connection = site:connect()
        for i = 1, 10 do
            site:write("hello.lua", app(tostring(i)))
            process.wait_for("the new text", function()
                local response = connection:request("GET", "/hello/")
                assert.equal(200, response.status)
                return response.body == tostring(i)
            end)
        end
        site:wait_status("one generation", function(status)
            return status.workers[1].generations_alive == 1
        end)
    end)
end)
