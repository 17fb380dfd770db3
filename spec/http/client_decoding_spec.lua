--- Answers whose body is coded (Content-Encoding), as they come over the wire.

local coded = require("spec.support.coded")
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
local TEXT = ("All work and no play makes Jack a dull boy.\n"):rep(40)

local function chunks_of(bytes, size)
    local parts = {}
    for at = 1, #bytes, size do
        local part = bytes:sub(at, at + size - 1)
        parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#part, part)
    end
    return table.concat(parts) .. "0\r\n\r\n"
end

---The framings of an answer: what its head says, its body on the wire, whether it ends with the connection.
local FRAMINGS = {
    ["a length"] = function(bytes)
        return ("Content-Length: %d\r\n"):format(#bytes), bytes, false
    end,
    ["chunks"] = function(bytes)
        return "Transfer-Encoding: chunked\r\n", chunks_of(bytes, 7), false
    end,
    ["the end of the connection"] = function(bytes)
        return "", bytes, true
    end,
}

local function answer(codings, bytes, framing)
    local fields, body, ends = FRAMINGS[framing or "a length"](bytes)
    return OK .. ("Content-Encoding: %s\r\n"):format(codings) .. fields .. "\r\n" .. body, ends
end

local function url_of(wire, ends, size)
    return (server:script({ "read", { "send", wire, size }, ends and "close" or "wait" }))
end

describe("an answer in", function()
    for i, case in ipairs(coded.ALL) do
        for framing in pairs(FRAMINGS) do
            it(("%s (%d), framed by %s, is decoded, whole and a byte at a time"):format(case[1], i, framing), function()
                local wire, ends = answer(case[1], case[2](TEXT), framing)
                for _, size in ipairs({ 0, 1 }) do
                    local client = http.client()
                    local res = client:get(url_of(wire, ends, size))
                    assert.equal(TEXT, res:body())
                    assert.equal(case[1], res.coding)
                    assert.is_nil(res.headers["content-encoding"])
                    assert.is_nil(res.headers["content-length"])
                    assert.same({}, res:header_all("Content-Encoding"))
                    assert.equal(ends and 0 or 1, client:stats().idle)
                end
                local parts = {}
                for chunk in http.get(url_of(wire, ends, 50)):chunks() do
                    parts[#parts + 1] = chunk
                end
                assert.equal(TEXT, table.concat(parts))
            end)
        end

        it(("%s (%d) that is cut short is an error that names it"):format(case[1], i), function()
            local bytes = case[2](TEXT)
            for framing in pairs(FRAMINGS) do
                local wire, ends = answer(case[1], bytes:sub(1, -2), framing)
                local client = http.client()
                local ok, err = pcall(function()
                    return client:get(url_of(wire, ends)):body()
                end)
                assert.is_false(ok)
                assert.equal("protocol", err.code)
                assert.matches("malformed %a+ body: it ends too early, while reading the body$", err.message)
            end
        end)
    end

    it("a coding that is none raises at once, and ends the connection", function()
        local client = http.client()
        local ok, err = pcall(function()
            local wire = OK .. "Content-Encoding: gzip\r\nContent-Length: 99999\r\n\r\nno gzip at all"
            return client:get(url_of(wire)):body()
        end)
        assert.is_false(ok)
        assert.same({ "protocol", "while reading the body" }, { err.code, err.stage })
        assert.matches("malformed gzip body: incorrect header check", err.message)
        assert.equal(0, client:stats().connections)
    end)

    it("several codings, in one field or in several, is decoded", function()
        local bytes = coded.br(coded.gzip(TEXT))
        local res = http.get(url_of((answer("gzip, br", bytes))))
        assert.equal(TEXT, res:body())
        assert.equal("gzip, br", res.coding)
        res = http.get(url_of((answer("gzip\r\nContent-Encoding: br", bytes))))
        assert.equal(TEXT, res:body())
        assert.equal("gzip, br", res.coding)
    end)

    it("no coding, an unknown one, or identity comes as it is", function()
        for _, codings in ipairs({ "identity", "compress", "gzip, compress", "" }) do
            local res = http.get(url_of((answer(codings, TEXT))))
            assert.equal(TEXT, res:body())
            assert.equal(codings, res.headers["content-encoding"])
            assert.is_nil(res.coding or nil)
        end
    end)

    it("a coding, but without a body, is empty and keeps its fields", function()
        for status, fields in pairs({ ["200 OK"] = "Content-Length: 0\r\n", ["204 No Content"] = "",
            ["304 Not Modified"] = "Content-Length: 30\r\n" }) do
            local client = http.client()
            local head = "HTTP/1.1 " .. status .. "\r\nContent-Encoding: gzip\r\n"
            local res = client:get(url_of(head .. fields .. "\r\n"))
            assert.equal("", res:body())
            assert.equal("gzip", res.headers["content-encoding"])
            assert.equal(1, client:stats().idle)
        end
        local res = http.head(url_of(OK .. "Content-Encoding: br\r\nContent-Length: 30\r\n\r\n"))
        assert.same({ "", "30", "br" }, { res:body(), res.headers["content-length"], res.headers["content-encoding"] })
        for framing in pairs(FRAMINGS) do
            if framing ~= "a length" then
                local wire, ends = answer("gzip", "", framing)
                assert.equal("", http.get(url_of(wire, ends)):body())
            end
        end
    end)

    it("a coding comes as it is with decode = false, fields included", function()
        local bytes = coded.gzip(TEXT)
        local res = http.get(url_of((answer("gzip", bytes))), { decode = false })
        assert.is_true(res:body() == bytes)
        assert.equal("gzip", res.headers["content-encoding"])
        assert.equal(tostring(#bytes), res.headers["content-length"])
    end)
end)

describe("what a request says of codings", function()
    local function accepted(options)
        return http.get(server.url .. "/echo", options):body():lower():match("\r\naccept%-encoding: ([^\r]*)\r\n")
    end

    it("is what the client can undo", function()
        assert.equal("gzip, deflate, br, zstd", accepted())
    end)

    it("is the caller's, when there is one", function()
        assert.equal("br;q=1", accepted({ headers = { ["accept-encoding"] = "br;q=1" } }))
        assert.is_nil(accepted({ decode = false }))
    end)

    it("is nothing for a part of a body, or for its head alone", function()
        assert.is_nil(accepted({ headers = { Range = "bytes=0-1" } }))
        local url, port = server:script({ "head", { "send", OK .. "Content-Length: 3\r\n\r\n" }, "wait" })
        http.head(url)
        assert.is_nil(table.concat(server:log(port, 2), "\n"):lower():find("accept-encoding", 1, true))
    end)
end)

describe("a small body that becomes a large one", function()
    local MIB = 1024 * 1024

    it("meets max_body, which counts what it becomes", function()
        local bytes = coded.gzip(("\0"):rep(10 * MIB))
        assert.is_true(#bytes < 100000)
        local client = http.client()
        local ok, err = pcall(function()
            return client:get(url_of((answer("gzip", bytes))), { max_body = MIB }):body()
        end)
        assert.is_false(ok)
        assert.equal("too_large", err.code)
        assert.matches("the decoded body is larger than max_body", err.message)
        assert.equal(10 * MIB, #client:get(url_of((answer("gzip", bytes))), { max_body = 10 * MIB }):body())
    end)

    it("is held back while nobody takes it: memory does not fill", function()
        local bytes = coded.gzip(("\0"):rep(64 * MIB))
        local res = http.get(url_of((answer("gzip", bytes))))
        local largest, total = 0, 0
        for chunk in res:chunks() do
            largest, total = math.max(largest, #chunk), total + #chunk
        end
        assert.equal(64 * MIB, total)
        assert.is_true(largest <= 256 * 1024 + 1)
    end)

    it("lets others run while it is gathered", function()
        local bytes = coded.gzip(("\0"):rep(32 * MIB))
        local turns, is_done = 0, false
        moonloop.gather(function()
            http.get(url_of((answer("gzip", bytes)))):body()
            is_done = true
        end, function()
            while not is_done do
                turns = turns + 1
                moonloop.sleep(0)
            end
        end)
        assert.is_true(turns >= 32 * MIB / (256 * 1024), turns)
    end)

    it("meets max_ratio beyond 64 MiB, unless there is none", function()
        local bytes = coded.br(("\0"):rep(80 * MIB))
        local function total(options)
            local sum = 0
            for chunk in http.get(url_of((answer("br", bytes))), options):chunks() do
                sum = sum + #chunk
            end
            return sum
        end
        local ok, err = pcall(total)
        assert.is_false(ok)
        assert.equal("too_large", err.code)
        assert.matches("more than max_ratio times what came", err.message)
        assert.equal(80 * MIB, total({ max_ratio = false }))
        assert.equal(80 * MIB, total({ max_ratio = 1e7 }))
    end)

    it("can be given up in the middle", function()
        local res = http.get(url_of((answer("gzip", coded.gzip(("\0"):rep(8 * MIB))))))
        local next_chunk = res:chunks()
        next_chunk()
        res:close()
        local _, err = pcall(next_chunk)
        assert.equal("closed", err.code)
    end)

    -- #stress_cannot: in single bytes the reading stops for what they decode to long before all has come.
    it("can outlast its connection #stress_cannot", function()
        local bytes = coded.gzip(("\0"):rep(8 * MIB))
        local client = http.client()
        local res = client:get(url_of((answer("gzip", bytes))))
        moonloop.timeout(5, function() -- all has come, and somebody else may use the connection
            while client:stats().idle == 0 do
                moonloop.sleep(0.001)
            end
        end)
        assert.equal(8 * MIB, #res:body())
    end)

    it("has to be taken before its deadline", function()
        local bytes = coded.gzip(("\0"):rep(8 * MIB))
        local res = http.get(url_of((answer("gzip", bytes))), { timeout = 0.2 })
        local next_chunk = res:chunks()
        next_chunk()
        moonloop.sleep(0.25)
        local ok, err = pcall(next_chunk)
        assert.same({ false, "timeout", "while reading the body" }, { ok, err.code, err.stage })
    end)

    it("has no wrong options", function()
        for _, options in ipairs({ { max_ratio = 0 }, { max_ratio = true }, { decode = 1 }, { on_progress = 1 } }) do
            local ok, err = pcall(http.get, server.url .. "/echo", options)
            assert.is_false(ok)
            assert.matches("client_decoding_spec.lua:%d+: http: option", tostring(err))
        end
    end)
end)
