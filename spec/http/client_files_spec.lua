--- Files and multipart bodies of the client's requests: what is on the wire, and what happens to a file that changes.

local command = require("spec.support.command")
local eventually = require("spec.support.tasks").eventually
local http = require("moonloop.http")
local moonloop = require("moonloop")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local spec_server = require("spec.support.server")

local OK = { "send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }

local AGAIN = { "send", "HTTP/1.1 308 R\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n" }

local server, directory

setup(function()
    server = origin.start()
end)

teardown(function()
    server:stop()
end)

before_each(function()
    directory = process.directory()
end)

after_each(process.clean)

local function write(name, bytes)
    command.write(directory .. "/" .. name, bytes)
    return directory .. "/" .. name
end

local function sent(options)
    local url, port = server:script({ "raw", OK, "wait" })
    assert.equal("ok", http.post(url, options):body())
    local head, body = server:raw(port, 1):match("^(.-\r\n)\r\n(.*)$")
    return head, body
end

local function failure(options, steps)
    local url, port = server:script(steps or { "head", "wait" })
    options.timeout = 10
    local ok, err = pcall(http.post, url, options)
    assert.is_false(ok)
    return err, port
end

---Parts by name, in order as well: { name, filename, type, content }.
local function parts_of(head, body)
    local boundary = head:match("\r\nContent%-Type: multipart/form%-data; boundary=([%w'()+_,./:=?-]+)\r\n")
    assert.is_true(#boundary <= 70)
    local list, at = {}, #boundary + 5
    assert.equal("--" .. boundary .. "\r\n", body:sub(1, at - 1))
    while true do
        local stop, next_at = body:find("\r\n--" .. boundary, at, true)
        local part_head, content = body:sub(at, stop - 1):match("^(.-\r\n)\r\n(.*)$")
        list[#list + 1] = {
            name = part_head:match('^Content%-Disposition: form%-data; name="([^"]*)"'),
            filename = part_head:match('; filename="([^"]*)"\r\n'),
            type = part_head:match("\r\nContent%-Type: (.-)\r\n"), content = content,
        }
        at = next_at + 3
        if body:sub(next_at + 1) == "--\r\n" then
            return list
        end
    end
end

describe("a file as a body", function()
    it("is sent with its length and type", function()
        local head, body = sent({ body = http.file(write("a.txt", "hello")) })
        assert.equal("hello", body)
        assert.matches("\r\nContent%-Length: 5\r\n", head)
        assert.matches("\r\nContent%-Type: application/octet%-stream\r\n", head)
        head = sent({ body = http.file(write("a.txt", "hello"), { type = "text/plain" }) })
        assert.matches("\r\nContent%-Type: text/plain\r\n", head)
        head = sent({ body = http.file(write("a.txt", "hello")), headers = { ["Content-Type"] = "x/y" } })
        assert.matches("\r\nContent%-Type: x/y\r\n", head)
    end)

    it("may be empty, or of any size", function()
        local head, body = sent({ body = http.file(write("a", "")) })
        assert.equal("", body)
        assert.matches("\r\nContent%-Length: 0\r\n", head)
        local bytes = {}
        for i = 1, 70000 do
            bytes[i] = ("%d\n\0"):format(i)
        end
        local all = table.concat(bytes)
        head, body = sent({ body = http.file(write("a", all)) })
        assert.is_true(all == body)
        assert.matches(("\r\nContent%%-Length: %d\r\n"):format(#all), head)
    end)

    it("can be sent again", function()
        local file = http.file(write("a", "twice"))
        local url, port = server:script({ "raw", AGAIN, "raw", OK, "wait" })
        assert.equal("ok", http.put(url, { body = file }):body())
        local first, second = server:raw(port, 2)
        assert.equal("twice", first:sub(-5))
        assert.equal("twice", second:sub(-5))
        assert.equal("twice", select(2, sent({ body = file })))
    end)

    it("that is not there, or none, is an error before anything is sent", function()
        local err = failure({ body = http.file(directory .. "/none") })
        assert.equal("file", err.code)
        assert.matches("/none: No such file or directory", err.message)
        assert.same({ "POST", "before it began" }, { err.method, err.stage })
        err = failure({ body = http.file(directory) })
        assert.equal("body", err.code)
        assert.matches("is a directory, and so has no length to tell", err.message)
        err = failure({ body = http.file("/dev/null") })
        assert.matches("is no regular file", err.message)
        eventually(function() return require("moonloop.core.file").count() == 0 end) -- they close on other threads
    end)

    it("that changes its size meanwhile fails the request before its end", function()
        local size = 40 * 1024 * 1024
        local function change(fn)
            local path = directory .. "/large"
            command.run({ "truncate", "-s", tostring(size), path })
            local url, port = server:script({ "head", "hold", "wait" })
            local request = moonloop.spawn(http.put, url, { body = http.file(path), timeout = 60 })
            server:log(port, 2)
            fn(path)
            server:release(port)
            local ok, err = pcall(request.wait, request)
            assert.is_false(ok)
            local received = tonumber(server:log(port, 3)[3]:match("^end (%d+)$") or 0)
            assert.is_true(received < size, "the server has all of it")
            return err
        end
        local err = change(function(path) command.run({ "truncate", "-s", "10", path }) end)
        assert.equal("body", err.code)
        assert.matches("/large: has become shorter while it was sent; it had 41943040 bytes", err.message)
        err = change(function(path) command.run({ "truncate", "-s", tostring(size + 1), path }) end)
        assert.matches("/large: has become longer while it was sent", err.message)
    end)

    it("that is removed meanwhile is sent whole", function()
        local size = 40 * 1024 * 1024
        local path = directory .. "/large"
        command.run({ "truncate", "-s", tostring(size), path })
        local url, port = server:script({ "head", "hold", { "skip", size }, OK, "wait" })
        local request = moonloop.spawn(http.put, url, { body = http.file(path), timeout = 60 })
        server:log(port, 2)
        os.remove(path)
        server:release(port)
        assert.equal("ok", request:wait():body())
    end)

    it("does not pass through memory as a whole", function()
        local size = 64 * 1024 * 1024
        local path = directory .. "/large"
        command.run({ "truncate", "-s", tostring(size), path })
        local function resident()
            return tonumber(command.read("/proc/self/statm"):match("^%d+ (%d+)")) * 4096
        end
        collectgarbage()
        collectgarbage()
        local before, most = resident(), 0
        local url = server:script({ "head", { "skip", size }, OK, "wait" })
        assert.equal("ok", http.put(url, { body = http.file(path), timeout = 60, on_upload = function()
            most = math.max(most, resident())
        end }):body())
        -- AddressSanitizer holds on to what was freed.
        local limit = (spec_server.is_sanitized and 400 or 16) * 1024 * 1024
        assert.is_true(most - before < limit, ("%d bytes more"):format(most - before))
    end)

    it("is refused as a mistake when it names none", function()
        for _, path in ipairs({ "", "a\0b", 7, false }) do
            local ok, err = pcall(http.file, path)
            assert.is_false(ok)
            assert.matches("client_files_spec.lua:%d+: http.file: expected a path, got ", err)
        end
        assert.matches("unknown option typ", select(2, pcall(http.file, "a", { typ = "x" })))
        assert.matches("option type: expected a media type", select(2, pcall(http.file, "a", { type = "a\r\nb" })))
    end)
end)

describe("a multipart body", function()
    it("holds texts, numbers, booleans, lists and files, with its length", function()
        local path = write("a.txt", "in the file")
        local head, body = sent({ multipart = { a = "text", b = 3, c = true, d = { "x", "y" }, e = http.file(path) } })
        assert.same({
            { name = "a", content = "text" }, { name = "b", content = "3" }, { name = "c", content = "true" },
            { name = "d", content = "x" }, { name = "d", content = "y" },
            { name = "e", filename = "a.txt", type = "application/octet-stream", content = "in the file" },
        }, parts_of(head, body))
        assert.equal(#body, tonumber(head:match("Content%-Length: (%d+)")))
    end)

    it("keeps the order of a list", function()
        assert.same({ { name = "z", content = "1" }, { name = "a", content = "2" }, { name = "z", content = "3" } },
            parts_of(sent({ multipart = { { "z", 1 }, { "a", 2 }, { "z", 3 } } })))
    end)

    it("takes strings as files, names and types, and iterators with and without a length", function()
        local head, body = sent({ multipart = {
            { "s", http.part("bytes", { name = "s.bin", type = "image/png" }) },
            { "i", http.part(origin.once("pieces"), { name = "i.csv", length = 6 }) },
            { "f", http.file(write("f", "file"), { name = "other.txt", type = "text/plain" }) },
        } })
        assert.same({
            { name = "s", filename = "s.bin", type = "image/png", content = "bytes" },
            { name = "i", filename = "i.csv", type = "application/octet-stream", content = "pieces" },
            { name = "f", filename = "other.txt", type = "text/plain", content = "file" },
        }, parts_of(head, body))
        assert.equal(#body, tonumber(head:match("Content%-Length: (%d+)")))

        local url, port = server:script({ "raw", OK, "wait" })
        http.post(url, { multipart = { a = origin.once("no length"), b = "c" } }):body()
        local raw = server:raw(port, 1)
        assert.matches("Transfer%-Encoding: chunked", raw)
        assert.matches("\r\n9\r\nno length\r\n", raw)
    end)

    it("escapes names and names of files as browsers do", function()
        local head, body = sent({ multipart = { ['a"b\r\nc\nd\re\\é'] = http.part("x", { name = 'q"\n.txt' }) } })
        assert.same({ { name = "a%22b%0D%0Ac%0D%0Ad%0D%0Ae\\é", filename = "q%22%0D%0A.txt",
            type = "application/octet-stream", content = "x" } }, parts_of(head, body))
    end)

    it("leaves the bytes of its parts as they are", function()
        local all = {}
        for i = 0, 255 do
            all[#all + 1] = string.char(i)
        end
        local bytes = table.concat(all) .. "\r\n--moonloop-\r\n\r\n"
        local list = parts_of(sent({ multipart = { { "text", bytes }, { "file", http.file(write("a", bytes)) } } }))
        assert.equal(bytes, list[1].content)
        assert.equal(bytes, list[2].content)
    end)

    it("may be without parts", function()
        local head, body = sent({ multipart = {} })
        local boundary = head:match("boundary=(%S+)")
        assert.equal("--" .. boundary .. "--\r\n", body)
    end)

    it("can be sent again when its parts can", function()
        local url, port = server:script({ "raw", AGAIN, "raw", OK, "wait" })
        assert.equal("ok", http.post(url, { multipart = { a = http.file(write("a", "1")) } }):body())
        local first, second = server:raw(port, 2)
        assert.equal(first:match("\r\n\r\n.*$"), second:match("\r\n\r\n.*$"))
        url = server:script({ "raw", AGAIN, "wait" })
        local ok, err = pcall(http.post, url, { multipart = { a = function() return nil end } })
        assert.is_false(ok)
        assert.equal("body", err.code)
    end)

    it("fails with the part that has not what was said", function()
        local err = failure({ multipart = { { "a", http.part(origin.once("abc"), { length = 4 }) }, { "b", "text" } } })
        assert.equal("body", err.code)
        assert.matches("a part has 1 bytes less than was said", err.message)
        err = failure({ multipart = { { "a", http.part(origin.once("abc"), { length = 2 }) }, { "b", "text" } } })
        assert.matches("a part has more bytes than was said", err.message)
        err = failure({ multipart = { a = http.file(directory .. "/none") } })
        assert.equal("file", err.code)
    end)

    it("is refused as a mistake when a part is none", function()
        local function misuse(pattern, multipart, more)
            local ok, err = pcall(http.post, server.url .. "/echo", { multipart = multipart, headers = more })
            assert.is_false(ok)
            assert.matches("client_files_spec.lua:%d+: " .. pattern, err)
        end
        misuse("http: multipart a: a table that is no list cannot be encoded", { a = { b = "c" } })
        misuse("http: multipart a: cannot encode a table", { a = { { "b" } } })
        misuse("http: multipart a: cannot encode a userdata", { a = io.stdout })
        misuse("http: multipart a: cannot encode nan", { a = 0 / 0 })
        misuse("http: multipart: expected names with values, or a list of pairs.*item 1 is none", { "a" })
        misuse("http: multipart: expected a name, got 1", { { 1, "a" } })
        misuse("http: a multipart body says its own Content%-Type", { a = "b" }, { ["content-type"] = "x/y" })
        local ok, err = pcall(http.part, {})
        assert.is_false(ok)
        assert.matches("http.part: expected a string, an iterator or a source, got a table", err)
        assert.matches("option length is for an iterator", select(2, pcall(http.part, "a", { length = 1 })))
    end)

    it("is what Python reads", function()
        local path = write("a.bin", "\0\r\n--x\255")
        local head, body = sent({ multipart = { { "text", "hällo" },
            { "upload", http.file(path, { type = "image/png" }) } } })
        local message = write("message", head:gsub("^[^\n]*\n", "") .. "\r\n" .. body)
        local result = command.run({ "python3", "-c", [[
import email, email.policy, sys
message = email.message_from_bytes(open(sys.argv[1], "rb").read(), policy=email.policy.HTTP)
for part in message.iter_parts():
    print(part.get_param("name", header="content-disposition"), part.get_filename(), part.get_content_type(),
          part.get_payload(decode=True).hex())
]], message })
        assert.equal("text None text/plain 68c3a46c6c6f\nupload a.bin image/png 000d0a2d2d78ff\n", result.out)
    end)
end)
