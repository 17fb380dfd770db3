--- What origins do to the client on the wire, one case each: a good answer, or an error that names the URL, the
--- stage and the reason, and a connection that is not used again after a doubt.

local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local shortage = require("spec.support.shortage")

local server

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"
local SIZED = OK .. "Content-Length: 5\r\n\r\nhello"

---Answers that are good: what is sent, then whether it ends there, then what it gives.
local GOOD = {
    ["a length"] = { SIZED },
    ["a length of zero"] = { OK .. "Content-Length: 0\r\n\r\n", body = "" },
    ["a length with zeros in front"] = { OK .. "Content-Length: 0005\r\n\r\nhello" },
    ["field names in any case, blanks around values"] = { OK .. "cOnTeNt-LeNgTh:   5  \r\nX-A: \t a b \t\r\n\r\nhello",
        headers = { ["x-a"] = "a b" } },
    ["the same length twice"] = { OK .. "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" },
    ["a list of the same length"] = { OK .. "Content-Length: 5, 5\r\n\r\nhello" },
    ["tabs around a length"] = { OK .. "Content-Length:\t 5\t\r\n\r\nhello" },
    ["one chunk"] = { CHUNKED .. "5\r\nhello\r\n0\r\n\r\n" },
    ["chunks"] = { CHUNKED .. "1\r\nh\r\n03\r\nell\r\n1\r\no\r\n000\r\n\r\n" },
    ["chunk sizes in both cases"] = { CHUNKED .. "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        body = ("0123456789"):rep(2) },
    ["chunk extensions"] = { CHUNKED .. '2;a\r\nhe\r\n3;d="e f"\r\nllo\r\n0;last\r\n\r\n' },
    ["several extensions of a chunk"] = { CHUNKED .. '2;a=b;c=d\r\nhe\r\n3 ; e = "f;g" ;h\r\nllo\r\n0;i;j\r\n\r\n' },
    ["blanks behind a chunk size"] = { CHUNKED .. "5  \r\nhello\r\n0 \r\n\r\n" },
    ["trailers in several lines"] = { CHUNKED .. "5\r\nhello\r\n0\r\nX-Sum:1\r\n 2\r\nX-B:\r\n\r\n" },
    ["trailers"] = { CHUNKED .. "5\r\nhello\r\n0\r\nX-Sum: 1\r\nExpires: never\r\n\r\n" },
    ["chunks under any name of theirs"] = { OK .. "transfer-encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n" },
    ["an end instead of a length"] = { OK .. "\r\nhello", ends = true },
    ["an end instead of a length, and nothing before it"] = { OK .. "\r\n", ends = true, body = "" },
    ["no fields at all"] = { "HTTP/1.1 200 OK\r\n\r\nhello", ends = true },
    ["HTTP/1.0"] = { "HTTP/1.0 200 OK\r\n\r\nhello", ends = true },
    ["HTTP/1.0 that says its length"] = { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", is_closed = true },
    ["HTTP/1.0 that keeps alive"] = { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello" },
    ["HTTP/1.0 in chunks"] = { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "5\r\nhello\r\n0\r\n\r\n", is_closed = true },
    ["no reason"] = { "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello" },
    ["no reason and no blank"] = { "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello" },
    ["a reason in another alphabet"] = { "HTTP/1.1 200 \xc3\xbc\xff!\r\nContent-Length: 5\r\n\r\nhello" },
    ["a status nobody knows"] = { "HTTP/1.1 799 Odd\r\nContent-Length: 5\r\n\r\nhello", status = 799 },
    ["204"] = { "HTTP/1.1 204 No Content\r\n\r\n", body = "", status = 204 },
    ["204 with a length"] = { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", body = "", status = 204,
        is_closed = true },
    ["204 with chunks"] = { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", body = "", status = 204,
        is_closed = true },
    ["304 with the length of what it stands for"] = { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        body = "", status = 304 },
    ["HEAD with a length"] = { OK .. "Content-Length: 5\r\n\r\n", body = "", method = "HEAD" },
    ["HEAD with chunks"] = { OK .. "Transfer-Encoding: chunked\r\n\r\n", body = "", method = "HEAD" },
    ["HEAD with neither"] = { OK .. "\r\n", body = "", method = "HEAD" },
    ["100 before it"] = { "HTTP/1.1 100 Continue\r\n\r\n" .. SIZED },
    ["102, 103 and 199 before it"] = { "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        .. "HTTP/1.1 199 Odd\r\nContent-Length: 7\r\n\r\n" .. SIZED },
    ["a field in several lines"] = { OK .. "X-A: one\r\n two\r\n\tthree\r\nContent-Length: 5\r\n\r\nhello",
        headers = { ["x-a"] = "one %s*two %s*three" } },
    ["fields without values"] = { OK .. "X-A:\r\nX-B: \r\nContent-Length: 5\r\n\r\nhello",
        headers = { ["x-a"] = "", ["x-b"] = "" } },
    ["Connection: close"] = { OK .. "Connection: close\r\nContent-Length: 5\r\n\r\nhello", is_closed = true },
    ["Connection: close among others"] = { OK .. "Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
        is_closed = true },
    ["bytes behind it"] = { SIZED .. "!", is_closed = true },
    ["a blank line behind it"] = { SIZED .. "\r\n", is_closed = true },
    ["a second answer behind it"] = { SIZED .. OK .. "Content-Length: 4\r\n\r\nevil", is_closed = true },
    ["a body behind 304"] = { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", body = "",
        status = 304, is_closed = true },
    ["a body behind HEAD"] = { SIZED, body = "", method = "HEAD", is_closed = true },
}

local function get(client, url, options)
    options = options or {}
    local res = client:request({ method = options.method or "GET", url = url .. "/", timeout = 10,
        body = options.send, max_body = options.max_body })
    return res, res:body()
end

local function check_good(case, steps, is_slow)
    local client = http.client()
    local res, body = get(client, (server:script(steps)), { method = case.method })
    assert.equal(case.status or 200, res.status)
    assert.equal(case.body or "hello", body)
    for name, pattern in pairs(case.headers or {}) do
        assert.matches("^" .. pattern .. "$", res.headers[name])
        assert.is_nil(res.headers[name]:find("[\r\n]"))
    end
    local is_kept = not case.ends and not case.is_closed
    if is_slow and not is_kept then -- what makes the connection unusable comes behind the answer
        moonloop.timeout(10, function()
            while client:stats().connections > 0 do
                moonloop.sleep(0.001)
            end
        end)
    end
    assert.equal(is_kept and 1 or 0, client:stats().idle)
    assert.equal(is_kept and 1 or 0, client:stats().connections)
end

describe("an answer with", function()
    for name, case in pairs(GOOD) do
        it(name .. " is good", function()
            check_good(case, { "read", { "send", case[1] }, case.ends and "close" or "wait" }, shortage.is_regular)
        end)
    end

    it("any of those framings is the same a byte at a time", function()
        for _, case in pairs(GOOD) do
            check_good(case, { "read", { "send", case[1], 1 }, case.ends and "close" or "wait" }, true)
        end
    end)

    it("any of those framings is the same in two pieces, wherever it is cut", function()
        local wires = {
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" .. OK
                .. "X-A: one\r\n two\r\nContent-Length: 5\r\n\r\nhello",
            CHUNKED .. "2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
        }
        for _, wire in ipairs(wires) do
            local scripts = {}
            for at = 1, #wire - 1 do
                scripts[at] = { "read", { "send", wire:sub(1, at) }, "pause", { "send", wire:sub(at + 1) }, "wait" }
            end
            local url = server:script(unpack(scripts))
            for at = 1, #wire - 1 do
                local client = http.client()
                local _, body = get(client, url)
                assert.equal("hello", body, "cut at " .. at)
                assert.equal(1, client:stats().idle, "cut at " .. at)
            end
        end
    end)
end)

---What is wrong: what is sent, then "close" or another end ("wait" where nothing), then code, stage and reason.
local BAD = {
    ["nothing"] = { "", "close", "closed", "waiting for the answer", "without an answer" },
    ["nothing but a reset"] = { "", "reset", "closed", "waiting for the answer", "reset" },
    ["half a status line"] = { "HTTP/1.", "close", "closed", "waiting for the answer", "middle of the head" },
    ["a status line alone"] = { OK, "close", "closed", "waiting for the answer", "middle of the head" },
    ["half a field"] = { OK .. "X-A: 1", "close", "closed", "waiting for the answer", "middle of the head" },
    ["no end of its head"] = { OK .. "Content-Length: 0\r\n", "close", "closed", "waiting for the answer" },
    ["an interim answer alone"] = { "HTTP/1.1 103 Hints\r\n\r\n", "close", "closed", "waiting for the answer" },
    ["a body that is too short"] = { OK .. "Content-Length: 6\r\n\r\nhello", "close", "closed", "reading the body" },
    ["a body that is cut by a reset"] = { OK .. "Content-Length: 6\r\n\r\nhello", "reset", "closed",
        "reading the body" },
    ["half a chunk"] = { CHUNKED .. "5\r\nhel", "close", "closed", "reading the body" },
    ["half a chunk size"] = { CHUNKED .. "5\r\nhello\r\n0", "close", "closed", "reading the body" },
    ["no last chunk"] = { CHUNKED .. "5\r\nhello\r\n", "close", "closed", "reading the body" },
    ["half a trailer"] = { CHUNKED .. "5\r\nhello\r\n0\r\nX-A: 1\r\n", "close", "closed", "reading the body" },
    ["a reset instead of the end"] = { OK .. "\r\nhello", "reset", "closed", "reading the body" },

    ["two lengths"] = { OK .. "Content-Length: 3\r\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },
    ["a list of two lengths"] = { OK .. "Content-Length: 5, 3\r\n\r\nhello", "wait", "protocol", nil, "two different" },
    ["a list with an empty length"] = { OK .. "Content-Length: 5,\r\n\r\nhello", "wait", "protocol" },
    ["a length and chunks"] = { OK .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "wait",
        "protocol" },
    ["chunks and a length"] = { OK .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "wait",
        "protocol" },
    ["a length below zero"] = { OK .. "Content-Length: -5\r\n\r\nhello", "wait", "protocol" },
    ["a length with a plus"] = { OK .. "Content-Length: +5\r\n\r\nhello", "wait", "protocol" },
    ["a length in hexadecimal"] = { OK .. "Content-Length: 0x5\r\n\r\nhello", "wait", "protocol" },
    ["a length beyond 64 bits"] = { OK .. "Content-Length: 99999999999999999999\r\n\r\nhello", "wait", "protocol" },
    ["an empty length"] = { OK .. "Content-Length:\r\n\r\nhello", "wait", "protocol" },
    ["a length in two lines"] = { OK .. "Content-Length: 5\r\n 5\r\n\r\nhello", "wait", "protocol" },
    ["a coding that nobody asked for"] = { OK .. "Transfer-Encoding: gzip\r\n\r\nhello", "close", "protocol" },
    ["a coding below the chunks"] = { OK .. "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "wait",
        "protocol" },
    ["chunks twice"] = { OK .. "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "wait", "protocol" },
    ["chunks before another coding"] = { OK .. "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "close",
        "protocol" },
    ["a coding spelled oddly"] = { OK .. "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "close", "protocol" },
    ["an empty coding"] = { OK .. "Transfer-Encoding:\r\n\r\nhello", "close", "protocol" },

    ["garbage for a chunk size"] = { CHUNKED .. "xyz\r\nhello\r\n", "wait", "protocol", "reading the body" },
    ["a chunk size below zero"] = { CHUNKED .. "-5\r\nhello\r\n", "wait", "protocol", "reading the body" },
    ["no chunk size"] = { CHUNKED .. "\r\nhello\r\n", "wait", "protocol", "reading the body" },
    ["0x before a chunk size"] = { CHUNKED .. "0x5\r\nhello\r\n0\r\n\r\n", "wait", "protocol", "reading the body" },
    ["a chunk size beyond 64 bits"] = { CHUNKED .. "10000000000000005\r\nhello\r\n", "wait", "protocol",
        "reading the body" },
    ["a chunk longer than its size"] = { CHUNKED .. "4\r\nhello\r\n0\r\n\r\n", "wait", "protocol", "reading the body" },
    ["a chunk size that ends without CR"] = { CHUNKED .. "5\nhello\r\n0\r\n\r\n", "wait", "protocol",
        "reading the body" },
    ["a chunk that ends without CR"] = { CHUNKED .. "5\r\nhello\n0\r\n\r\n", "wait", "protocol", "reading the body" },
    ["NUL in a chunk extension"] = { CHUNKED .. "5;a\0b\r\nhello\r\n0\r\n\r\n", "wait", "protocol",
        "reading the body" },
    ["chunk extensions without end"] = { CHUNKED .. "5;" .. ("a"):rep(200000), "wait", "too_large",
        "reading the body" },
    ["trailers without end"] = { CHUNKED .. "0\r\n" .. ("X-A: bcdefghij\r\n"):rep(20000), "wait", "too_large",
        "reading the body" },
    ["a trailer that ends without CR"] = { CHUNKED .. "0\r\nX-A: 1\n\r\n", "wait", "protocol", "reading the body" },
    ["a body that ends without CR"] = { CHUNKED .. "0\r\n\n", "wait", "protocol", "reading the body" },
    ["NUL in a trailer"] = { CHUNKED .. "0\r\nX-A: a\0b\r\n\r\n", "wait", "protocol", "reading the body" },
    ["a trailer without a colon"] = { CHUNKED .. "0\r\nX-A\r\n\r\n", "wait", "protocol", "reading the body" },
    ["a trailer that is folded and the first"] = { CHUNKED .. "0\r\n X-A: 1\r\n\r\n", "wait", "protocol",
        "reading the body" },
    ["too many trailers"] = { CHUNKED .. "0\r\n" .. ("A: b\r\n"):rep(257) .. "\r\n", "wait", "too_large",
        "reading the body" },
    ["a chunk size with a letter too many"] = { CHUNKED .. "5g\r\nhello\r\n0\r\n\r\n", "wait", "protocol",
        "reading the body" },
    ["a trailer that is no field"] = { CHUNKED .. "0\r\nX A: 1\r\n\r\n", "wait", "protocol", "reading the body" },

    ["a field over the limit"] = { OK .. "X-A: " .. ("a"):rep(70000) .. "\r\n\r\n", "wait", "too_large" },
    ["fields over the limit"] = { OK .. ("X-A: " .. ("a"):rep(1000) .. "\r\n"):rep(70) .. "\r\n", "wait", "too_large" },
    ["too many fields"] = { OK .. ("A: b\r\n"):rep(257) .. "\r\n", "wait", "too_large", nil, "too many header fields" },
    ["a reason over the limit"] = { "HTTP/1.1 200 " .. ("a"):rep(70000) .. "\r\n\r\n", "wait", "too_large" },
    ["a head without end"] = { OK .. "X-A: " .. ("a"):rep(70000), "wait", "too_large" },
    ["interim answers without end"] = { ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"):rep(2000), "wait",
        "too_large" },

    ["a status line that ends without CR"] = { "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },
    ["a field that ends without CR"] = { OK .. "Content-Length: 5\n\r\nhello", "wait", "protocol" },
    ["a head that ends without CR"] = { OK .. "Content-Length: 5\r\n\nhello", "wait", "protocol" },
    ["a CR that ends no line"] = { OK .. "X-A: a\rb\r\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },
    ["NUL in a value"] = { OK .. "X-A: a\0b\r\n\r\n", "wait", "protocol" },
    ["NUL in a name"] = { OK .. "X\0A: b\r\n\r\n", "wait", "protocol" },
    ["another control character in a value"] = { OK .. "X-A: a\1b\r\n\r\n", "wait", "protocol" },
    ["NUL in the reason"] = { "HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },
    ["a name with a blank"] = { OK .. "X A: b\r\n\r\n", "wait", "protocol" },
    ["a blank before the colon"] = { OK .. "Content-Length : 5\r\n\r\nhello", "wait", "protocol" },
    ["a field without a name"] = { OK .. ": b\r\n\r\n", "wait", "protocol" },
    ["a field without a colon"] = { OK .. "X-A\r\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },
    ["a first field that is folded"] = { OK .. " X-A: b\r\nContent-Length: 5\r\n\r\nhello", "wait", "protocol" },

    ["101 that nobody asked for"] = { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "wait", "protocol", nil, "switches protocols" },
    ["a status of two digits"] = { "HTTP/1.1 20 OK\r\n\r\n", "wait", "protocol" },
    ["a status of four digits"] = { "HTTP/1.1 2000 OK\r\n\r\n", "wait", "protocol" },
    ["a status below 100"] = { "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "wait", "protocol" },
    ["a status that is none"] = { "HTTP/1.1 OK\r\n\r\n", "wait", "protocol" },
    ["HTTP/0.9"] = { "<html>hello</html>\n", "close", "protocol" },
    ["the preface of HTTP/2"] = { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "wait", "protocol" },
    ["frames of HTTP/2"] = { "\0\0\18\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff", "wait", "protocol" },
    ["a version that is none"] = { "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n", "wait", "protocol" },
    ["HTTP/2.0 in letters"] = { "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "wait", "protocol" },
    ["HTTP in small letters"] = { "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "wait", "protocol" },
    ["another protocol"] = { "SSH-2.0-OpenSSH_9.2p1\r\n", "wait", "protocol" },
    ["an alert of TLS"] = { "\21\3\3\0\2\2\40", "close", "protocol", nil, "TLS" },
    ["the first byte of such an alert"] = { "\21", "close", "protocol", nil, "TLS" },
    ["a blank before the status line"] = { " " .. SIZED, "wait", "protocol" },
}

local function failure(client, url, options)
    local ok, err = pcall(get, client, url, options)
    assert.is_false(ok)
    assert.equal("table", type(err), tostring(err))
    return err
end

describe("an answer with", function()
    for name, case in pairs(BAD) do
        it(name .. " is refused", function()
            local client = http.client()
            local url, port = server:script({ "read", { "send", case[1] }, case[2] })
            local err = failure(client, (url:gsub("//", "//user:secret@")))
            assert.equal(case[3], err.code, tostring(err))
            local message = tostring(err)
            assert.equal(1, (message:find(("GET http://127.0.0.1:%d/: "):format(port), 1, true)), message)
            assert.is_nil(message:find("secret", 1, true))
            assert.matches("while " .. (case[4] or "waiting for the answer") .. "$", message)
            assert.matches(case[5] or "", message)
            assert.equal("GET", err.method)
            assert.equal(("http://127.0.0.1:%d/"):format(port), err.url)
            assert.matches(case[4] or "waiting for the answer", err.stage)
            assert.equal(0, client:stats().connections)
        end)
    end

    it("any of those faults is the same a byte at a time", function()
        for name, case in pairs(BAD) do
            if #case[1] < 300 and case[1] ~= "" and case[2] ~= "reset" then
                local client = http.client()
                local err = failure(client, (server:script({ "read", { "send", case[1], 1 }, case[2] })))
                assert.equal(case[3], err.code, name)
                assert.equal(0, client:stats().connections, name)
            end
        end
    end)
end)

describe("an origin that", function()
    it("refuses the connection is told with the stage", function()
        local err = failure(http.client(), "http://127.0.0.1:1")
        assert.equal("refused", err.code)
        assert.equal("GET http://127.0.0.1:1/: Connection refused, while connecting", tostring(err))
    end)

    it("closes or resets before it has read is told", function()
        for _, steps in ipairs({ { "close" }, { "reset" } }) do
            local client = http.client()
            assert.equal("closed", failure(client, (server:script(steps))).code)
            assert.equal(0, client:stats().connections)
        end
    end)

    it("ends while the request is being sent is told so", function()
        local client = http.client()
        local err = failure(client, (server:script({ "head", "reset" })), { method = "POST",
            send = ("x"):rep(20000000) })
        assert.equal("closed", err.code)
        assert.equal("while sending the request", err.stage)
    end)

    it("drips its answer meets the deadline, in the head and in the body", function()
        for wire, stage in pairs({ [OK .. "X-A: "] = "waiting for the answer",
            [OK .. "Content-Length: 99999\r\n\r\n"] = "reading the body", [CHUNKED] = "reading the body" }) do
            local client = http.client()
            local url, port = server:script({ "read", { "send", wire },
                { "drip", wire == CHUNKED and "1\r\na\r\n" or "a" } })
            local ok, err = pcall(function()
                return client:get(url, { timeout = 0.1 }):body()
            end)
            assert.is_false(ok)
            assert.equal("timeout", err.code)
            assert.matches(stage, err.stage)
            assert.equal(0, client:stats().connections)
            assert.matches("^reset", server:log(port, 3)[3])
        end
    end)

    it("answers before it was asked is heard once", function()
        local client = http.client()
        local url = server:script({ { "send", SIZED }, "read", "wait" })
        local _, body = get(client, url)
        assert.equal("hello", body)
        assert.is_true(client:stats().reused == 0)
    end)

    it("answers before the request was sent is heard, and its connection is not used again", function()
        local client = http.client()
        local url = server:script({ "head", { "send", "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello" },
            "hold" })
        local res, body = get(client, url, { method = "POST", send = ("x"):rep(20000000) })
        assert.equal(413, res.status)
        assert.equal("hello", body)
        assert.equal(0, client:stats().connections)
    end)

    it("says a second answer later does not have it taken for the next", function()
        local client = http.client()
        local url, port = server:script(
            { "read", { "send", SIZED }, { "send", OK .. "Content-Length: 4\r\n\r\nevil" }, "wait" },
            { "read", { "send", OK .. "Content-Length: 4\r\n\r\ngood" }, "wait" })
        local _, body = get(client, url)
        assert.equal("hello", body)
        server:log(port, 3) -- the first connection has ended
        _, body = get(client, url)
        assert.equal("good", body)
    end)

    it("is asked for a body over the limit is told, and let go of", function()
        for _, wire in ipairs({ OK .. "Content-Length: 1001\r\n\r\n", OK .. "\r\n" .. ("x"):rep(1001),
            CHUNKED .. "3e9\r\n" .. ("x"):rep(1001) .. "\r\n0\r\n\r\n", OK .. "Content-Length: 1001\r\n\r\n"
            .. ("x"):rep(1001) }) do
            local client = http.client()
            local err = failure(client, (server:script({ "read", { "send", wire }, "close" })), { max_body = 1000 })
            assert.equal("too_large", err.code)
            assert.matches("^GET http://127.0.0.1:%d+/: the body is larger than max_body, ", tostring(err))
            assert.equal(client:stats().idle, client:stats().connections) -- a small one came whole
        end
    end)
end)

describe("the head of an answer", function()
    it("that is like the last one but for a byte, or an end, is read anew", function()
        local begin = OK .. "X-A: 1\r\nContent-Length: 5"
        local steps = {}
        for _, wire in ipairs({ begin .. "\r\n\r\nhello", begin .. "\r\n\r\nagain", begin
            .. "0\r\n\r\n" .. ("x"):rep(50), begin .. "\r\nX-B: 2\r\n\r\nhello", begin .. "\r\n\r\nhello" }) do
            steps[#steps + 1] = "read"
            steps[#steps + 1] = { "send", wire }
        end
        steps[#steps + 1] = "wait"
        local client, all = http.client(), {}
        local url = server:script(steps)
        for i = 1, 5 do
            local res, body = get(client, url)
            local headers = res.headers
            all[i] = ("%s %s %s %d"):format(headers["x-a"], headers["x-b"], headers["content-length"], #body)
        end
        assert.same({ "1 nil 5 5", "1 nil 5 5", "1 nil 50 50", "1 2 5 5", "1 nil 5 5" }, all)
        assert.equal(4, client:stats().reused)
    end)

    it("is that of the request's own method, however alike", function()
        local wire = OK .. "Content-Length: 5\r\n\r\n"
        local client = http.client()
        local url = server:script({ "read", { "send", wire .. "hello" }, "read", { "send", wire }, "read",
            { "send", wire .. "hello" }, "wait" })
        for _, method in ipairs({ "GET", "HEAD", "GET" }) do
            assert.equal(method == "HEAD" and "" or "hello", client:request({ method = method, url = url }):body())
        end
    end)
end)

describe("an interim answer", function()
    local WIRE = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        .. "HTTP/1.1 103 Early Hints\r\nX-Last:  1 \r\n\r\n"

    it("is there for whoever asks afterwards", function()
        for _, size in ipairs({ 0, 1 }) do
            local res = get(http.client(), (server:script({ "read", { "send", WIRE .. SIZED, size }, "wait" })))
            assert.same({ 103, 103 }, { res.informational[1].status, res.informational[2].status })
            assert.equal("</a>, </b>", res.informational[1].headers.Link)
            assert.equal("1", res.informational[2].headers["x-last"])
            assert.equal(2, #res.informational)
        end
        local res = get(http.client(), (server:script({ "read", { "send", SIZED }, "wait" })))
        assert.same({}, res.informational)
    end)

    it("is told when it comes, before the answer", function()
        local told, client = {}, http.client()
        local url = server:script({ "read", { "send", WIRE }, "wait" }) -- the answer itself never comes
        local function tell(status, headers)
            told[#told + 1] = status .. " " .. (headers.link or headers["x-last"])
        end
        local ok, err = pcall(function()
            return client:get(url, { on_informational = tell, timeout = 0.2 })
        end)
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.same({ "103 </a>, </b>", "103 1" }, told)
        told = {}
        local res = client:get((server:script({ "read", { "send", WIRE .. SIZED }, "wait" })),
            { on_informational = tell })
        assert.equal("hello", res:body())
        assert.same({ "103 </a>, </b>", "103 1" }, told)
        assert.equal(2, #res.informational)
    end)
end)

describe("nothing that could smuggle", function()
    local function refused(options)
        options.url = options.url or server.url .. "/echo"
        local ok, err = pcall(http.request, options)
        assert.is_false(ok)
        assert.matches("client_wire_spec.lua:%d+: http", tostring(err))
    end

    local bad = { "\r", "\n", "\r\n", "\0", "\r\nX: y", "\27", "\127", "a\r\n b", "\1" }

    it("passes in a field's value", function()
        for _, text in ipairs(bad) do
            refused({ headers = { ["X-A"] = "a" .. text .. "b" } })
            refused({ headers = { ["X-A"] = { "a", text } } })
            refused({ headers = { Authorization = "Bearer " .. text } })
            refused({ headers = { Cookie = text } })
        end
    end)

    it("passes in a field's name", function()
        for _, text in ipairs(bad) do
            refused({ headers = { ["X-A" .. text] = "a" } })
        end
        for _, name in ipairs({ "", " X", "X ", "X:", "X\t", "(X)", "X\xc3\xa4", "X,Y", "X;Y", "X=Y", "X/Y" }) do
            refused({ headers = { [name] = "a" } })
        end
    end)

    it("passes in a method", function()
        for _, method in ipairs({ "", " ", "GET ", " GET", "GE T", "GET\r\n", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET",
            "G\0ET", "CONNECT", "PRI", "NONSENSE" }) do
            refused({ method = method })
        end
    end)

    it("passes in a target", function()
        for _, text in ipairs(bad) do
            refused({ url = server.url .. "/a" .. text })
            refused({ url = server.url .. "/?" .. text })
            refused({ url = "http://127.0.0.1" .. text .. "/" })
        end
        refused({ url = server.url .. "/ HTTP/1.1" })
        refused({ url = server.url .. "\\@evil/" })
    end)

    it("passes in Host, or as two of them", function()
        for _, host in ipairs({ "a b", "a,b", "a/b", "a@b", "", "a\tb", "a?b", "a#b", "a:b:c", "a:x", "[::1",
            "\xc3\xa4" }) do
            refused({ headers = { Host = host } })
        end
        refused({ headers = { Host = { "a", "b" } } })
        for _, host in ipairs({ "example.org", "example.org:81", "[::1]:80", "a_b" }) do
            assert.matches("\r\nHost: " .. host:gsub("%p", "%%%0") .. "\r\n",
                http.get(server.url .. "/echo", { headers = { Host = host } }):body())
        end
    end)

    it("passes as a framing of one's own", function()
        for _, name in ipairs({ "Content-Length", "transfer-encoding", "Trailer", "Upgrade" }) do
            refused({ headers = { [name] = "5" }, body = "hello" })
        end
    end)

    it("is left of a query or a form", function()
        local text = http.post(server.url .. "/echo", { query = { ["a\r\nb"] = "c\r\n\r\nGET /" },
            form = { ["d\r\n&e="] = "\r\n\r\n&f=1\0" } }):body()
        assert.matches("^POST /echo%?a%%0D%%0Ab=c%%0D%%0A%%0D%%0AGET%+%%2F HTTP/1.1\r\n", text)
        assert.matches("\r\n\r\nd%%0D%%0A%%26e%%3D=%%0D%%0A%%0D%%0A%%26f%%3D1%%00$", text)
    end)

    it("is taken from a server either", function()
        for _, location in ipairs({ "/a b", "http://a\tb/", "/\127", "http://x/\\@y" }) do
            local url = server:script({ "read", { "send", "HTTP/1.1 302 Found\r\nLocation: " .. location
                .. "\r\nContent-Length: 0\r\n\r\n" }, "wait" })
            assert.equal("protocol", failure(http.client(), url).code)
        end
    end)
end)

describe("an answer that is given up", function()
    it("ends its connection at once", function()
        local client = http.client()
        local url, port = server:script({ "read", { "send", OK .. "Content-Length: 99\r\n\r\nhello" }, "wait" })
        local res = client:get(url)
        assert.equal("hello", origin.take(res:chunks(), 5)) -- what came and was not read would make it a reset
        res:close()
        assert.matches("^end 0", server:log(port, 3)[3])
        assert.equal(0, client:stats().connections)
    end)
end)
