--- What is done with an answer's body: saved, read line by line, its progress, its trailers, its timing.

local coded = require("spec.support.coded")
local command = require("spec.support.command")
local core = require("moonloop.core.file")
local failure = require("spec.support.tasks").failure
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

local server

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

local OK = "HTTP/1.1 200 OK\r\n"
local MIB = 1024 * 1024

local function sized(bytes, fields)
    return OK .. (fields or "") .. ("Content-Length: %d\r\n\r\n"):format(#bytes) .. bytes
end

local function url_of(wire, after, size)
    return (server:script({ "read", { "send", wire, size }, after or "wait" }))
end

describe("an answer that is saved", function()
    local directory

    local function files()
        local list = {}
        for name in command.run({ "ls", "-A", directory }).out:gmatch("[^\n]+") do
            list[#list + 1] = name
        end
        return list
    end

    before_each(function()
        directory = command.directory()
    end)

    after_each(function()
        while core.count() ~= 0 do
            moonloop.sleep(0.001)
        end
        command.remove(directory)
    end)

    it("is in the file, and nothing else is there", function()
        local path = directory .. "/a.txt"
        for _, text in ipairs({ "hello", "", ("0123456789abcdef"):rep(60000) }) do
            assert.equal(#text, http.get(url_of(sized(text))):save(path))
            assert.is_true(command.read(path) == text)
            assert.same({ "a.txt" }, files())
        end
    end)

    it("that comes in pieces, or decoded, is in it as well", function()
        local text = ("0123456789abcdef"):rep(100)
        local path = directory .. "/a"
        assert.equal(1600, http.get(url_of(sized(text), "wait", 100)):save(path))
        assert.equal(text, command.read(path))
        local bytes = coded.gzip(("x"):rep(5 * MIB))
        assert.equal(5 * MIB, http.get(url_of(sized(bytes, "Content-Encoding: gzip\r\n"))):save(path))
        assert.is_true(command.read(path) == ("x"):rep(5 * MIB))
        assert.equal(5, http.get(url_of(OK .. "\r\nhello", "close")):save(path, { fsync = true }))
        assert.equal("hello", command.read(path))
    end)

    it("has the permissions that were asked for, less the umask", function()
        http.get(url_of(sized("a"))):save(directory .. "/a", { mode = 384 })
        assert.equal("600\n", command.run({ "stat", "-c", "%a", directory .. "/a" }).out)
        http.get(url_of(sized("a"))):save(directory .. "/b")
        local umask = tonumber(command.run({ "sh", "-c", "umask" }).out, 8)
        assert.equal(("%o\n"):format(bit.band(438, bit.bnot(umask))),
            command.run({ "stat", "-c", "%a", directory .. "/b" }).out)
    end)

    it("leaves what was there alone, and nothing behind, when it does not come whole", function()
        local path = directory .. "/a.txt"
        command.write(path, "before")
        local wires = {
            closed = OK .. "Content-Length: 99\r\n\r\nhello",
            protocol = OK .. "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx",
        }
        for code, wire in pairs(wires) do
            local err = failure(function()
                http.get(url_of(wire, "close")):save(path)
            end)
            assert.equal(code, err.code)
            while core.count() ~= 0 do
                moonloop.sleep(0.001)
            end
            assert.equal("before", command.read(path))
            assert.same({ "a.txt" }, files())
        end
    end)

    it("leaves nothing behind when its task is cancelled, whose socket closes", function()
        local client = http.client()
        local url = url_of(OK .. "Content-Length: 9999999\r\n\r\n" .. ("x"):rep(MIB))
        local task = moonloop.spawn(function()
            client:get(url):save(directory .. "/a")
        end)
        while #files() == 0 do
            moonloop.sleep(0.001)
        end
        assert.matches("^%.a%.%x+%.part$", files()[1])
        task:cancel()
        assert.equal("cancelled", failure(task.wait, task).code)
        assert.equal(0, client:stats().connections)
        while core.count() ~= 0 do
            moonloop.sleep(0.001)
        end
        assert.same({}, files())
    end)

    it("meets the deadline of its request", function()
        local err = failure(function()
            http.get(url_of(OK .. "Content-Length: 9\r\n\r\nhello"), { timeout = 0.1 }):save(directory .. "/a")
        end)
        assert.equal("timeout", err.code)
    end)

    it("says why it cannot be, and lets go of the connection", function()
        command.write(directory .. "/file", "")
        command.run({ "mkdir", directory .. "/folder" })
        for path, errno in pairs({
            ["/missing/a"] = "ENOENT", ["/file/a"] = "ENOTDIR", ["/folder"] = "EISDIR",
            ["/" .. ("x"):rep(300)] = "ENAMETOOLONG",
        }) do
            for _, wire in ipairs({ sized("hello"), sized(("x"):rep(MIB)) }) do
                local client = http.client()
                local err = failure(function()
                    client:get(url_of(wire)):save(directory .. path)
                end)
                assert.same({ "file", directory .. path, errno }, { err.code, err.path, err.errno })
                assert.matches("^%a+ /.*: %u", err.message)
                assert.equal(client:stats().idle, client:stats().connections)
            end
        end
    end)

    local can_mount = command.run({ "unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt" }).code == 0
    local with_mount = can_mount and it or pending
    with_mount("says that the disk is full, and leaves nothing there", function()
        command.write(directory .. "/save.lua", [[
            local http = require("moonloop.http")
            local ok, err = pcall(function() http.get(arg[1]):save("/mnt/a") end)
            print(ok, err.code, err.errno)
            io.stdout:flush()
            require("moonloop").sleep(0.05)
            os.execute("ls -A /mnt | wc -l")
        ]])
        local result = command.run({ "unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt && exec "
            .. command.moonloop .. " run " .. directory .. "/save.lua " .. url_of(sized(("x"):rep(2 * MIB))) })
        assert.equal("false\tfile\tENOSPC\n0\n", result.out)
    end)

    it("cannot be read as well, nor the other way round", function()
        local res = http.get(url_of(sized(("x"):rep(MIB))))
        res:save(directory .. "/a")
        assert.matches("save%(%) has taken the body already", tostring(failure(res.body, res)))
        res = http.get(url_of(sized(("x"):rep(MIB))))
        res:chunks()()
        assert.matches("chunks%(%) has taken the body already", tostring(failure(res.save, res, directory .. "/a")))
        res = http.get(url_of(sized("hello")))
        assert.equal("hello", res:body()) -- which is here, and can be had in every way
        assert.equal(5, res:save(directory .. "/a"))
    end)

    it("takes good options alone", function()
        local res = http.get(url_of(sized("hello")))
        for _, arguments in ipairs({ {}, { "" }, { "a\0b" }, { 1 }, { "a", { fsnc = true } }, { "a", { mode = -1 } },
            { "a", { fsync = 1 } }, { "a", 1 } }) do
            assert.matches("client_saving_spec.lua:%d+: save", tostring(failure(function()
                res:save(unpack(arguments, 1, 2))
            end)))
        end
    end)
end)

describe("progress", function()
    it("cannot read the answer that it tells of", function()
        local res
        res = http.get(url_of(sized("hello")), { on_progress = function() res:body() end })
        local err = failure(res.body, res)
        assert.matches("on_progress: the answer that it tells of cannot be read in it", tostring(err))
    end)

    it("is told while the body is read, and at the end", function()
        local text = ("x"):rep(4 * MIB)
        for name, read in pairs({
            body = function(res)
                return #res:body()
            end,
            chunks = function(res)
                local sum = 0
                for chunk in res:chunks() do
                    sum = sum + #chunk
                end
                return sum
            end,
            save = function(res)
                local path = os.tmpname()
                local size = res:save(path)
                os.remove(path)
                return size
            end,
        }) do
            local told = {}
            local res = http.get(url_of(sized(text)), { on_progress = function(done, total)
                told[#told + 1] = done
                assert.equal(#text, total)
            end })
            assert.equal(#text, read(res))
            assert.is_true(#told >= 3 and #told <= 10, name .. ": " .. #told)
            assert.equal(#text, told[#told])
            for i = 2, #told do
                assert.is_true(told[i] >= told[i - 1])
            end
        end
    end)

    it("counts what comes, not what it becomes, and knows no total of chunks", function()
        local bytes, last, of = coded.gzip(("x"):rep(MIB)), nil, nil
        http.get(url_of(sized(bytes, "Content-Encoding: gzip\r\n")), { on_progress = function(done, total)
            last, of = done, total
        end }):body()
        assert.same({ #bytes, #bytes }, { last, of })
        http.get(url_of(OK .. "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), {
            on_progress = function(done, total)
                last, of = done, total
            end }):body()
        assert.same({ 5, nil }, { last, of })
    end)

    it("that raises ends the reading", function()
        local client = http.client()
        local err = failure(function()
            client:get(url_of(sized(("x"):rep(2 * MIB))), { on_progress = function()
                error("enough")
            end }):body()
        end)
        assert.matches("enough", tostring(err))
    end)
end)

describe("the lines of an answer", function()
    local function lines(wire, options, size)
        local list = {}
        for line in http.get(url_of(wire, "wait", size), options):lines() do
            list[#list + 1] = line
        end
        return list
    end

    it("come without their ends, whatever these are, however they are cut", function()
        for _, size in ipairs({ 0, 1, 2 }) do
            assert.same({ "one", "two", "", "three" }, lines(sized("one\ntwo\r\n\nthree"), nil, size))
            assert.same({ "one", "" }, lines(sized("one\n\n"), nil, size))
            assert.same({}, lines(sized(""), nil, size))
            assert.same({ "a\rb" }, lines(sized("a\rb\r\n"), nil, size))
        end
        local long = ("x"):rep(MIB / 2)
        assert.same({ long, "y" }, lines(sized(long .. "\ny")))
    end)

    it("are no longer than max_body", function()
        assert.equal("too_large", failure(lines, sized(("x"):rep(MIB)), { max_body = MIB / 2 }).code)
        assert.equal(2000, #lines(sized(("x\n"):rep(2000)), { max_body = 100000 }))
    end)
end)

describe("trailers", function()
    it("are kept apart from the headers, and are there when the body is", function()
        local wire = OK .. "X-A: head\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
            .. "X-Sum:  1 \r\nX-A: tail\r\nX-A: more\r\nX-Fold: a\r\n b\r\n\r\n"
        for _, size in ipairs({ 0, 1 }) do
            local res = http.get(url_of(wire, "wait", size))
            assert.equal("hello", res:body())
            assert.equal("head", res.headers["x-a"])
            local trailers = res:trailers()
            assert.equal("1", trailers["X-Sum"])
            assert.equal("tail, more", trailers["x-a"])
            assert.equal("a  b", trailers["x-fold"])
        end
        assert.same({}, http.get(url_of(sized("a"))):trailers())
    end)
end)

describe("an answer that came whole, on a connection that served before,", function()
    it("can be had in all these ways as well", function()
        local wire = sized("one\ntwo")
        local url = server:script({ "read", { "send", wire }, "read", { "send", wire }, "read", { "send", wire },
            "read", { "send", wire }, "read", { "send", wire }, "wait" })
        local client, last, of = http.client(), nil, nil
        local path = os.tmpname()
        assert.equal("one\ntwo", client:get(url):body())
        assert.equal(7, client:get(url):save(path))
        assert.equal("one\ntwo", command.read(path))
        os.remove(path)
        local lines = client:get(url):lines()
        assert.same({ "one", "two" }, { lines(), lines() })
        local res = client:get(url)
        assert.equal("one\ntwo", res:body())
        assert.same({}, res:trailers())
        assert.is_falsy(res.coding)
        client:get(url, { on_progress = function(done, total)
            last, of = done, total
        end }):body()
        assert.same({ 7, 7, 4 }, { last, of, client:stats().reused })
    end)
end)

describe("JSON that is none", function()
    it("is told with what was answered, and where it is wrong", function()
        local res = http.get(url_of(sized("<html>", "Content-Type: text/html\r\n")))
        local err = failure(res.json, res)
        assert.same({ "json", "GET", 200 }, { err.code, err.method, err.status })
        assert.matches("^GET http://%S+: the answer %(200, text/html%) is no JSON: line 1 column 1: ", err.message)
    end)
end)

describe("the timing of an answer", function()
    it("has what was gone through, on a new connection and on one that is used again", function()
        local client = http.client()
        local url = server.url .. "/echo"
        local fresh = client:get(url)
        fresh:body()
        local again = client:get(url)
        again:body()
        assert.is_true(fresh.timing.connect > 0)
        assert.is_nil(again.timing.connect)
        for _, res in ipairs({ fresh, again }) do
            assert.is_true(res.timing.first_byte > 0 and res.timing.total >= res.timing.first_byte)
            assert.is_nil(res.timing.redirects)
        end
    end)

    it("is there of what failed, as far as it came", function()
        local err = failure(http.get, "http://127.0.0.1:1/")
        assert.is_true(err.timing.total > 0)
        assert.is_nil(err.timing.first_byte)
        err = failure(function()
            http.get(url_of(OK .. "Content-Length: 9\r\n\r\nhello", "close")):body()
        end)
        assert.is_true(err.timing.connect > 0 and err.timing.first_byte > 0)
        assert.is_true(err.timing.total >= err.timing.first_byte)
    end)

    it("counts from the first request when there were redirects", function()
        local target = url_of(sized("hello"))
        local url = server:script({ "read", "pause",
            { "send", "HTTP/1.1 302 Found\r\nLocation: " .. target .. "\r\nContent-Length: 0\r\n\r\n" }, "wait" })
        local began = moonloop.now()
        local res = http.get(url)
        res:body()
        local took = moonloop.now() - began
        assert.is_true(res.timing.redirects > 0)
        assert.is_true(res.timing.first_byte >= res.timing.redirects)
        assert.is_true(res.timing.total >= res.timing.first_byte and res.timing.total <= took)
    end)
end)
