--- Bodies of the client's requests that come in pieces: what is on the wire, who waits for whom, and how each may end.

local eventually = require("spec.support.tasks").eventually
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"

local server, client

setup(function()
    server = origin.start()
    client = http.client()
end)

teardown(function()
    server:stop()
end)

---An iterator over these, that counts how often it was asked.
local function pieces(...)
    local list, count = { ... }, { asked = 0 }
    return function()
        count.asked = count.asked + 1
        return list[count.asked]
    end, count
end

---Sends it to a server that logs the request and answers well; the head without what is in all, and the body.
local function sent(options)
    local url, port = server:script({ "raw", { "send", OK }, "wait" })
    options.url, options.method = url .. "/", options.method or "POST"
    assert.equal("ok", client:request(options):body())
    local head, body = server:raw(port, 1):match("^(.-\r\n)\r\n(.*)$")
    return head, body
end

describe("a body from an iterator", function()
    it("is sent in chunks", function()
        local head, body = sent({ body = pieces("hello", "", ("x"):rep(26)) })
        assert.matches("\r\nTransfer%-Encoding: chunked\r\n", head)
        assert.is_nil(head:lower():find("content-length", 1, true))
        assert.equal("5\r\nhello\r\n1a\r\n" .. ("x"):rep(26) .. "\r\n0\r\n\r\n", body)
    end)

    it("is sent as it is when its length is known", function()
        local head, body = sent({ body = pieces("hello, ", "world"), length = 12 })
        assert.matches("\r\nContent%-Length: 12\r\n", head)
        assert.is_nil(head:lower():find("transfer-encoding", 1, true))
        assert.equal("hello, world", body)
    end)

    it("may be empty", function()
        local _, body = sent({ body = pieces() })
        assert.equal("0\r\n\r\n", body)
        local head, none = sent({ body = pieces(), length = 0, method = "PUT" })
        assert.matches("\r\nContent%-Length: 0\r\n", head)
        assert.equal("", none)
    end)

    it("goes with any method", function()
        local head, body = sent({ method = "DELETE", body = pieces("a") })
        assert.matches("^DELETE / ", head)
        assert.equal("1\r\na\r\n0\r\n\r\n", body)
    end)

    it("leaves a connection that is used again", function()
        local url = server:script({ "raw", { "send", OK }, "raw", { "send", OK }, "raw", { "send", OK }, "wait" })
        local own = http.client()
        own:post(url, { body = pieces("a", "b") }):body()
        own:post(url, { body = pieces("a", "b"), length = 2 }):body()
        own:post(url, { body = "ab" }):body()
        assert.equal(2, own:stats().reused)
        assert.equal(1, own:stats().connections)
    end)

    it("may wait between its pieces, as a channel does", function()
        local channel = moonloop.channel()
        local writer = moonloop.spawn(function()
            for i = 1, 3 do
                channel:send("line " .. i .. "\n")
                moonloop.sleep(0.001)
            end
            channel:close()
        end)
        local _, body = sent({ body = channel, length = 21 })
        assert.equal("line 1\nline 2\nline 3\n", body)
        writer:wait()
    end)

    it("may be a coroutine", function()
        local _, body = sent({ length = 6, body = coroutine.wrap(function()
            for i = 1, 3 do
                moonloop.sleep(0)
                coroutine.yield("p" .. i)
            end
        end) })
        assert.equal("p1p2p3", body)
    end)

    it("may be what another request brings", function()
        local source = client:get(server.url .. "/sized/300000")
        local _, body = sent({ body = source:chunks(), length = 300000 })
        assert.equal(("x"):rep(300000), body)
    end)

    it("is asked for its first piece when there is a connection, and no earlier", function()
        local own = http.client({ connections = 1 })
        local url, port = server:script({ "head", "hold", { "send", OK }, "raw", { "send", OK }, "wait" })
        local first = moonloop.spawn(own.get, own, url)
        server:log(port, 2)
        local next_piece, count = pieces("a")
        local second = moonloop.spawn(own.post, own, url, { body = next_piece })
        eventually(function() return own:stats().waiting == 1 end)
        assert.equal(0, count.asked)
        server:release(port)
        first:wait()
        assert.equal("ok", second:wait():body())
        assert.equal(2, count.asked)
    end)

    it("is held back by a server that does not read", function()
        local url, port = server:script({ "head", "hold", { "skip", 40 * 1024 * 1024 }, { "send", OK }, "close" })
        local piece, given = ("x"):rep(1024 * 1024), 0
        local function next_piece()
            given = given + 1
            return given <= 40 and piece or nil
        end
        local answer = moonloop.spawn(client.post, client, url, { length = 40 * #piece, timeout = 60,
            body = next_piece })
        server:log(port, 2)
        local before = -1
        eventually(function()
            local was = before
            before = given
            moonloop.sleep(0.02)
            return given > 0 and was == given and before == given
        end)
        assert.is_true(given < 20, given .. " MiB were taken, and the server has read nothing")
        collectgarbage()
        server:release(port)
        assert.equal("ok", answer:wait():body())
        assert.equal(41, given)
    end)

    it("goes through in pieces of any size, chunked and not", function()
        local all = {}
        for i = 1, 300 do
            all[i] = ("%d "):format(i):rep(i)
        end
        all[#all + 1] = ("y"):rep(700000)
        local whole = table.concat(all)
        local _, body = sent({ body = pieces(unpack(all)), length = #whole })
        assert.is_true(body == whole)
        local _, chunked = sent({ body = pieces(unpack(all)) })
        local parts, at = {}, 1
        repeat
            local size, from = chunked:match("^(%x+)\r\n()", at)
            size = tonumber(size, 16)
            parts[#parts + 1] = chunked:sub(from, from + size - 1)
            at = from + size + 2
        until size == 0
        assert.is_true(table.concat(parts) == whole)
    end)

    it("of many small pieces leaves others their turn", function()
        local given, turns, is_over = 0, 0, false
        local other = moonloop.spawn(function()
            while not is_over do
                moonloop.sleep(0)
                turns = turns + 1
            end
        end)
        local _, body = sent({ length = 2000, body = function()
            given = given + 1
            return given <= 2000 and "z" or nil
        end })
        is_over = true
        other:wait()
        assert.equal(2000, #body)
        assert.is_true(turns >= 20)
    end)
end)

describe("on_upload", function()
    local function told(options)
        local list = {}
        options.on_upload = function(done, total)
            list[#list + 1] = { done, total }
        end
        local _, body = sent(options)
        return list, body
    end

    it("tells how far a body has gone, each MiB and at its end", function()
        local piece = ("x"):rep(256 * 1024)
        local list = told({ body = pieces(piece, piece, piece, piece, piece, piece), length = 6 * #piece })
        assert.is_true(#list >= 2 and #list <= 6)
        assert.same({ 6 * #piece, 6 * #piece }, list[#list])
        for i = 2, #list do
            assert.is_true(list[i][1] > list[i - 1][1])
        end
    end)

    it("knows the whole at the end only when nobody said it", function()
        assert.same({ { 5, 5 } }, told({ body = pieces("he", "llo") }))
        assert.same({ { 0, 0 } }, told({ body = pieces() }))
    end)

    it("works with a body that is at hand", function()
        local list, body = told({ body = ("y"):rep(3000000) })
        assert.equal(("y"):rep(3000000), body)
        assert.same({ 3000000, 3000000 }, list[#list])
        list, body = told({ json = { a = 1 } })
        assert.equal('{"a":1}', body)
        assert.same({ { 7, 7 } }, list)
    end)

    it("fails the request when it raises", function()
        local ok, err = pcall(client.post, client, server.url .. "/echo", { body = pieces("abc"), length = 3,
            on_upload = function() error("no") end })
        assert.is_false(ok)
        assert.matches("client_upload_spec.lua:%d+: no$", err.message)
    end)
end)

describe("a body from an iterator that goes wrong", function()
    local function refused(options, steps)
        local url, port = server:script(steps or { "head", "wait" })
        options.timeout = options.timeout or 10
        local ok, err = pcall(client.post, client, url .. "/up", options)
        assert.is_false(ok)
        return err, port, url
    end

    it("ends its request and the connection with the iterator's own error", function()
        local own = { code = "mine" }
        local given = 0
        local err, port = refused({ body = function()
            given = given + 1
            return given == 1 and "a" or error(own)
        end })
        assert.equal(own, err)
        assert.matches("^end %d+$", server:log(port, 3)[3]) -- without the end of the body
        err = refused({ body = function() error("no more paper") end })
        assert.matches("client_upload_spec.lua:%d+: no more paper$", err.message)
        assert.matches("client_upload_spec.lua", err.traceback)
        assert.same({ "POST", "while sending the request" }, { err.method, err.stage })
    end)

    it("raises that from the answer, when it has begun", function()
        local channel = moonloop.channel()
        local url = server:script({ "head", { "send", "HTTP/1.1 200 OK\r\n\r\nsome" }, "wait" })
        local res = client:post(url, { timeout = 10, body = function()
            channel:recv()
            error("torn")
        end })
        local chunks = res:chunks()
        assert.equal("some", origin.take(chunks, 4))
        channel:send(true)
        local ok, err = pcall(chunks)
        assert.is_false(ok)
        assert.matches("torn$", err.message)
    end)

    it("is refused when a piece is no string", function()
        assert.matches("the iterator gave a table; expected a string, or nil at the end",
            refused({ body = pieces({}) }).message)
        assert.matches("the iterator gave a number", refused({ body = pieces(1) }).message)
    end)

    it("fails when it has more or less bytes than its length", function()
        local err, port, url = refused({ body = pieces("abc", "d"), length = 3 })
        assert.equal("body", err.code)
        assert.equal(("POST %s/up: the body is longer than was said, while sending the request"):format(url),
            err.message)
        assert.equal("end 3", server:log(port, 3)[3])
        err, port = refused({ body = pieces("abc"), length = 4 })
        assert.equal("body", err.code)
        assert.matches("shorter than was said", err.message)
        assert.equal("end 3", server:log(port, 3)[3])
    end)

    it("is cancelled with its request, at a deadline too", function()
        local channel = moonloop.channel()
        local seen
        local function waiting()
            local ok, err = pcall(channel.recv, channel)
            seen = not ok and err.code
            error(err, 0)
        end
        local err, port = refused({ body = waiting, timeout = 0.05 })
        assert.equal("timeout", err.code)
        eventually(function() return seen end)
        assert.equal("cancelled", seen)
        assert.matches("^end", server:log(port, 3)[3])

        seen = nil
        local url
        url, port = server:script({ "head", "wait" })
        local request = moonloop.spawn(client.post, client, url, { body = waiting })
        server:log(port, 2)
        request:cancel()
        assert.is_false((pcall(request.wait, request)))
        eventually(function() return seen end)
        assert.matches("^end", server:log(port, 3)[3])
    end)

    it("fails with its connection", function()
        local err = refused({ body = function() return ("x"):rep(65536) end }, { "head", "reset" })
        assert.equal("closed", err.code)
        err = refused({ body = function()
            moonloop.sleep(1000)
        end }, { "head", "close" })
        assert.equal("closed", err.code)
    end)

    it("is not sent again on another connection once it has begun", function()
        local own = http.client()
        local url, port = server:script({ "raw", { "send", OK }, "head", "close" }, { "raw", { "send", OK }, "wait" })
        own:get(url):body()
        local channel = moonloop.channel()
        local given = 0
        local ok, err = pcall(own.put, own, url, { timeout = 10, body = function()
            given = given + 1
            return given == 1 and "a" or channel:recv()
        end })
        assert.is_false(ok)
        assert.equal("closed", err.code)
        assert.same({ "connection", "closed" }, { server:log(port, 1)[1], (server:log(port, 4)[4]) })
    end)

    it("goes to another connection when the server had closed this one, and nothing of it was given yet", function()
        local own, channel = http.client(), moonloop.channel()
        local url, port = server:script({ "raw", { "send", OK }, "head", "close" }, { "raw", { "send", OK }, "wait" })
        own:get(url):body()
        local request = moonloop.spawn(own.put, own, url, { timeout = 10, body = channel })
        assert.matches("connection.*connection", table.concat(server:log(port, 5), "\n"))
        channel:send("a")
        channel:close()
        assert.equal("ok", request:wait():body())
        assert.matches("1\r\na\r\n0\r\n\r\n$", (select(2, server:raw(port, 2))))
    end)

    it("is a mistake of the caller's when it is none, or its length", function()
        local function misuse(pattern, options)
            local ok, err = pcall(client.post, client, server.url .. "/echo", options)
            assert.is_false(ok)
            assert.matches("client_upload_spec.lua:%d+: http: " .. pattern, err)
        end
        misuse("option body: a table does not do: expected a string, an iterator or a source", { body = {} })
        misuse("option body: a number does not do", { body = 7 })
        misuse("option length: expected bytes", { body = pieces(), length = -1 })
        misuse("option length: expected bytes", { body = pieces(), length = 1.5 })
        misuse("option length: expected bytes", { body = pieces(), length = 0 / 0 })
        misuse("option length is for a body that comes from an iterator", { body = "abc", length = 3 })
        misuse("option length is for a body that comes from an iterator", { length = 3 })
        misuse("json, form, multipart and body exclude each other", { body = pieces(), json = {} })
        misuse("option expect: expected seconds, more than 0, or true", { body = "a", expect = 0 })
        misuse("option expect: expected seconds, more than 0, or true", { body = "a", expect = -1 })
    end)
end)

describe("an answer before the end of the body", function()
    local function endless(seen)
        return function()
            local ok, err = pcall(moonloop.sleep, 1000)
            seen.code = not ok and err.code
            error(err, 0)
        end
    end

    it("that refuses it is there at once, and nobody asks for the rest", function()
        local seen = {}
        local own = http.client()
        local url, port = server:script({ "head", { "send", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno" },
            "wait" })
        local res = own:post(url, { body = endless(seen) })
        assert.equal(413, res.status)
        assert.equal("no", res:body())
        eventually(function() return seen.code end)
        assert.equal("cancelled", seen.code)
        assert.equal("end 0", server:log(port, 3)[3])
        assert.equal(0, own:stats().connections)
    end)

    it("that is good leaves the body coming", function()
        local channel = moonloop.channel()
        local url = server:script({ "head", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" }, { "more", 6 },
            { "send", "got " }, { "more", 11 }, { "send", "both" }, "wait" })
        local res = client:post(url, { body = channel })
        assert.equal(200, res.status)
        local chunks = res:chunks()
        channel:send("a")
        assert.equal("got ", origin.take(chunks, 4))
        channel:send("b")
        channel:close()
        assert.equal("both", origin.take(chunks, 4))
        assert.is_nil(chunks())
    end)

    it("that ends, is given up, or belongs to a request that ends, ends the body too", function()
        local seen = {}
        local url = server:script({ "head", { "send", OK }, "wait" })
        client:post(url, { body = endless(seen) }):body()
        eventually(function() return seen.code == "cancelled" end)
        seen.code = nil
        url = server:script({ "head", { "send", "HTTP/1.1 200 OK\r\n\r\n" }, "wait" })
        client:post(url, { body = endless(seen) }):close()
        eventually(function() return seen.code == "cancelled" end)
    end)
end)

describe("expect", function()
    it("sends the body when the server asks for it", function()
        local url, port = server:script({ "head", "hold", { "send", CONTINUE }, { "more", 3 }, { "send", OK }, "wait" })
        local request = moonloop.spawn(client.post, client, url, { body = "abc", expect = 600 })
        server:log(port, 2)
        server:release(port)
        assert.equal("ok", request:wait():body())
        assert.equal("abc", (server:raw(port, 1)))
    end)

    it("is said in the head, and not without a body", function()
        local head = sent({ body = "abc", expect = 0.001 })
        assert.matches("\r\nExpect: 100%-continue\r\nContent%-Length: 3\r\n", head)
        head = sent({ expect = true })
        assert.is_nil(head:find("Expect", 1, true))
        head = sent({ expect = true, body = "" })
        assert.is_nil(head:find("Expect", 1, true))
        head = sent({ expect = false, body = "a" })
        assert.is_nil(head:find("Expect", 1, true))
    end)

    it("asks an iterator for nothing before", function()
        local next_piece, count = pieces("abc")
        local url, port = server:script({ "head", "hold", { "send", CONTINUE }, { "more", 3 }, { "send", OK }, "wait" })
        local request = moonloop.spawn(client.post, client, url, { body = next_piece, length = 3, expect = 600 })
        server:log(port, 2)
        assert.equal(0, count.asked)
        server:release(port)
        assert.equal("ok", request:wait():body())
        assert.equal(2, count.asked)
    end)

    it("sends it all the same after a while", function()
        local head, body = sent({ body = pieces("abc"), length = 3, expect = 0.02 })
        assert.matches("Expect: 100%-continue", head)
        assert.equal("abc", body)
        assert.equal("abc", (select(2, sent({ body = "abc", expect = 0.02 }))))
    end)

    it("sends nothing after a final answer, and uses the connection no more", function()
        local own = http.client()
        local next_piece, count = pieces("abc")
        local url, port = server:script({ "head", { "send", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n" }, "wait" })
        assert.equal(401, own:post(url, { body = next_piece, expect = 600 }).status)
        assert.equal("end 0", server:log(port, 3)[3])
        assert.equal(401, own:post(url, { body = "abc", expect = 600 }).status)
        assert.equal("end 0", server:log(port, 7)[7])
        assert.equal(0, count.asked)
        assert.equal(0, own:stats().connections)
    end)

    it("is dropped for a server that refuses it with 417", function()
        for _, body in ipairs({ "abc", (pieces("abc")) }) do
            local url, port = server:script({ "head", { "send", "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n" },
                "wait" }, { "raw", { "send", OK }, "wait" })
            local length = type(body) ~= "string" and 3 or nil
            assert.equal("ok", client:post(url, { body = body, length = length, expect = 600 }):body())
            local again = server:raw(port, 1)
            assert.is_nil(again:find("Expect", 1, true))
            assert.equal("abc", again:sub(-3))
        end
    end)

    it("cannot be said by hand", function()
        local ok, err = pcall(client.post, client, server.url .. "/echo", { headers = { Expect = "100-continue" } })
        assert.is_false(ok)
        assert.matches("this header field is sent by the option expect alone", err)
    end)
end)
