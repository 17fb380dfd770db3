--- `moonloop fetch`, run as people run it: against a moonloop server and against origins that misbehave.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local servers = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/text", function() return "hello\n" end)
app:get("/json", function(_, res)
    res.headers["Content-Type"] = "application/json"
    return '{"b":[1,2.50,{"x":null}],"a":"\\u00e4 \\"","e":{},"f":[ ],"t":true}'
end)
app:get("/almost", function(_, res)
    res.headers["Content-Type"] = "application/json"
    return '{"a":1'
end)
app:get("/marked", function()
    return '\239\187\191{"a":"\127"}', 200, { ["Content-Type"] = "application/json" }
end)
app:get("/escape", function()
    return '{"a":"\\\27[31m"}', 200, { ["Content-Type"] = "application/json" }
end)
app:get("/binary", function() return "a\0b" end)
app:get("/away", function(_, res) return res:redirect("/index/text", 302) end)
app:get("/loop", function(_, res) return res:redirect("/index/loop", 302) end)
app:get("/teapot", function() return "short and stout\n", 418 end)
app:any("/sees", function(req)
    return { method = req.method, query = req.query, headers = { type = req.headers["content-type"],
        auth = req.headers.authorization, agent = req.headers["user-agent"], a = req.headers["x-a"],
        cookie = req.headers.cookie, accept = req.headers.accept, host = req.host, referer = req.headers.referer },
        body = req:body() }
end)
app:post("/form", function(req)
    local form = req:form()
    local file = form.files and form.files.f or form.f
    return { text = form.fields and form.fields.a or form.a, file = file }
end)
return app
]]

local site, plain, dir

local function fetch(...)
    return command.call({ "fetch", ... }, { env = { http_proxy = false, HTTP_PROXY = false, NO_COLOR = false } })
end

---As fetch, with standard output and error in a terminal.
local function on_terminal(words, env)
    return command.run({ "python3", "spec/support/terminal.py", command.moonloop, "fetch", unpack(words) },
        { env = env or { NO_COLOR = false, TERM = "xterm" } })
end

local function sees(...)
    local result = fetch(...)
    assert.equal(0, result.code, result.err)
    return require("cjson").decode(result.out)
end

setup(function()
    plain = origin.start()
    dir = command.directory()
    site = servers.start({ apps = { ["index.lua"] = APP:gsub("/index/", "/") } })
end)

teardown(function()
    servers.clean()
    process.clean()
    plain:stop()
    command.remove(dir)
end)

describe("moonloop fetch", function()
    it("shows the body, and with -i or -I the head", function()
        assert.same({ code = 0, out = "hello\n", err = "" }, fetch(site.url .. "/text"))
        local result = fetch("-i", site.url .. "/text")
        assert.matches("^HTTP/1.1 200 OK\n.*\n[Cc]ontent%-[Tt]ype: text/plain; charset=utf%-8\n.*\n\nhello\n$",
            result.out)
        result = fetch("-I", site.url .. "/text")
        assert.matches("^HTTP/1.1 200 OK\n.*[Cc]ontent%-[Ll]ength: 6\n.*\n$", result.out)
        assert.is_nil(result.out:find("hello"))
    end)

    it("completes URLs as people write them", function()
        local port = site.url:match(":(%d+)$")
        for _, url in ipairs({ ":" .. port .. "/text", "localhost:" .. port .. "/text", "127.0.0.1:" .. port .. "/text",
            "//localhost:" .. port .. "/text", "HTTP://localhost:" .. port .. "/text" }) do
            assert.equal("hello\n", fetch(url).out, url)
        end
    end)

    it("follows redirects unless told otherwise", function()
        assert.equal("hello\n", fetch(site.url .. "/away").out)
        assert.equal("hello\n", fetch("-L", site.url .. "/away").out)
        assert.matches("^HTTP/1.1 302 ", fetch("-i", "--no-redirect", site.url .. "/away").out)
        local result = fetch("--max-redirs", "3", site.url .. "/loop")
        assert.equal(47, result.code)
        assert.matches("more than 3 redirects.*; %-%-redirects N follows more", result.err)
    end)

    it("sends what curl's options say", function()
        local url = site.url .. "/sees"
        local seen = sees("-d", "a=1", "-d", "b=2", url)
        assert.same({ "POST", "a=1&b=2", "application/x-www-form-urlencoded" },
            { seen.method, seen.body, seen.headers.type })
        command.write(dir .. "/data", "x=1\ny\n")
        assert.equal("x=1y", sees("-d", "@" .. dir .. "/data", url).body)
        assert.equal("x=1\ny\n", sees("--data-binary", "@" .. dir .. "/data", url).body)
        assert.equal("@data", sees("--data-raw", "@data", url).body)
        assert.equal("q=a+b%26c", sees("--data-urlencode", "q=a b&c", url).body)
        seen = sees("--json", '{"a":1}', url)
        assert.same({ "POST", '{"a":1}', "application/json", "application/json" },
            { seen.method, seen.body, seen.headers.type, seen.headers.accept })
        seen = sees("-G", "-d", "a=1", "--data-urlencode", "b=ä", url .. "?c=2#x")
        assert.same({ "GET", { a = "1", b = "ä", c = "2" }, "" }, { seen.method, seen.query, seen.body })
        seen = sees("-sSLkXDELETE", "-A", "me", "-e", "from", "-b", "a=1", "-b", "b=2", "-u", "Ann:x:y", "-H", "X-A: 1",
            "-H", "x-a:2", url)
        assert.same({ "DELETE", "me", "from", "a=1; b=2", "1, 2" }, { seen.method, seen.headers.agent,
            seen.headers.referer, seen.headers.cookie, seen.headers.a })
        assert.equal("Basic " .. require("moonloop.util.base64").encode("Ann:x:y"), seen.headers.auth)
        seen = sees("-T", dir .. "/data", "-H", "Host: other.example", url)
        assert.same({ "PUT", "x=1\ny\n", "other.example" }, { seen.method, seen.body, seen.headers.host })
    end)

    it("takes bodies from standard input", function()
        local url = site.url .. "/sees"
        for _, words in ipairs({ { "-d", "@-" }, { "--data-binary", "@-" }, { "--json", "@-" }, { "-T", "-" } }) do
            local result = command.call({ "fetch", words[1], words[2], url }, { input = "from a pipe" })
            assert.equal("from a pipe", require("cjson").decode(result.out).body)
        end
    end)

    it("sends multipart forms", function()
        command.write(dir .. "/note.txt", "a file\n")
        local body = fetch("-F", "a=b", "-F", "f=@" .. dir .. "/note.txt;type=text/x-note;filename=other.txt", "-F",
            "c=<" .. dir .. "/note.txt", plain.url .. "/echo").out
        assert.matches("^POST /echo HTTP/1.1\r\n", body)
        assert.matches('name="a"\r\n\r\nb\r\n', body, 1, true)
        assert.matches('name="f"; filename="other.txt"\r\nContent-Type: text/x-note\r\n\r\na file\n\r\n', body, 1, true)
        assert.matches('name="c"\r\n\r\na file\n\r\n', body, 1, true)
    end)

    it("shows with -v exactly what is sent, and what comes", function()
        for _, words in ipairs({ {}, { "-d", "x=1" }, { "-X", "POST" }, { "-A", "me", "-H", "Accept: a/b", "-H", "B;" },
            { "-u", "Ann:secret" }, { "-F", "a=b" }, { "-T", "VERSION" }, { "-H", "Host: x" } }) do
            local all = { "-v", unpack(words) }
            all[#all + 1] = plain.url .. "/echo?a=b#c"
            local result = fetch(unpack(all))
            local shown, sent = {}, {}
            for line in result.err:gmatch("\n?> ([^\n]+)") do
                shown[#shown + 1] = line:gsub("boundary=.*", "")
            end
            for line in result.out:match("^(.-)\r\n\r\n"):gmatch("[^\r\n]+") do
                sent[#sent + 1] = line:gsub("boundary=.*", "")
            end
            assert.same(sent, shown)
            assert.matches("\n< HTTP/1.1 200 OK\n< Content%-Length: %d+\n<\n", result.err)
            assert.matches("\n%* waiting [%d.]+ m?s\n.*\n%* total [%d.]+ m?s\n", result.err)
        end
        local result = fetch("-v", site.url .. "/away")
        assert.matches("> GET /away HTTP.*< HTTP/1.1 302 .*%* Redirected to .*> GET /text HTTP.*< HTTP/1.1 200 OK",
            result.err)
    end)

    it("shows where the time went", function()
        local result = fetch("--timing", site.url .. "/text")
        assert.equal("hello\n", result.out)
        local names = {}
        for line in result.err:gmatch("[^\n]+") do
            local name, bar = line:match("^(%l+) +[%d.]+ m?s(.*)$")
            names[#names + 1] = name
            assert.is_truthy(name == "total" or bar:match("^  | *=+ *|$"), line)
        end
        assert.same({ "connect", "waiting", "body", "total" }, names)
    end)
end)

describe("on a terminal moonloop fetch", function()
    local LAID_OUT = '{\n  "b": [\n    1,\n    2.50,\n    {\n      "x": null\n    }\n  ],\n'
        .. '  "a": "\\u00e4 \\"",\n  "e": {},\n  "f": [],\n  "t": true\n}\n'

    it("lays JSON out, as it came", function()
        assert.equal(LAID_OUT, on_terminal({ site.url .. "/json" }, { NO_COLOR = "1" }).out)
        local coloured = on_terminal({ site.url .. "/json" }).out
        assert.matches("\27[36m2.50\27[0m", coloured, 1, true)
        assert.equal(LAID_OUT, (coloured:gsub("\27%[[%d;]*m", "")))
        assert.equal('{"a":1', on_terminal({ site.url .. "/almost" }).out)
        assert.equal('{\n  "a": "\127"\n}\n', on_terminal({ site.url .. "/marked" }, { NO_COLOR = "1" }).out)
        assert.equal('{"a":"\\\27[31m"}', on_terminal({ site.url .. "/escape" }).out)
        local raw = fetch(site.url .. "/json").out
        assert.matches('^{"b":%[1,2.50', raw)
        assert.equal(raw, on_terminal({ "--no-pretty", site.url .. "/json" }).out)
    end)

    it("does not write what is binary, unless told to", function()
        local result = on_terminal({ site.url .. "/binary" })
        assert.equal(23, result.code)
        assert.matches("moonloop: fetch: the answer is binary and would spoil the terminal; -o FILE writes it to a file"
            .. ", -o - shows it all the same\n", result.out, 1, true)
        assert.is_nil(result.out:find("\0", 1, true))
        local url = plain:script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab" }, "pause",
            { "send", "c\0" }, "wait" })
        result = on_terminal({ url }) -- nor what is so further on
        assert.equal(23, result.code)
        assert.matches("^a?b?c?moonloop: fetch: the answer is binary", result.out) -- as it was cut
        assert.is_nil(result.out:find("\0", 1, true))
        assert.equal("a\0b", on_terminal({ "-o", "-", site.url .. "/binary" }).out)
        assert.equal("a\0b", fetch(site.url .. "/binary").out)
    end)

    it("shows progress while a file is written, and takes it away", function()
        local url = plain:script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" },
            { "send", ("x"):rep(1000), 20 }, "wait" })
        local slow = plain:script({ "read", { "send", "HTTP/1.1 200 OK\r\n\r\n" }, { "drip", "some more " } })
        assert.equal("", on_terminal({ "-s", "-o", dir .. "/quiet", url }).out)
        local child = process.spawn({ "python3", "spec/support/terminal.py", command.moonloop, "fetch", "-o",
            dir .. "/slow", slow }, { cwd = command.root })
        process.wait_for("progress", function()
            return child:out():find("\r\27%[K%d+B  %d+B/s")
        end)
        child:kill("TERM")
    end)
end)

describe("moonloop fetch -o", function()
    it("writes the answer to a file", function()
        assert.same({ code = 0, out = "", err = "" }, fetch("-o", dir .. "/out", site.url .. "/text"))
        assert.equal("hello\n", command.read(dir .. "/out"))
        command.call({ "fetch", "-O", site.url .. "/text?x=/y" }, { cwd = dir })
        assert.equal("hello\n", command.read(dir .. "/text"))
        assert.matches("%-O: .*/ names no file; use %-o FILE", fetch("-O", site.url .. "/").err)
    end)

    it("asks for nothing when it cannot write there", function()
        local url, port = plain:script({ "read", "close" })
        local result = fetch("-o", dir .. "/none/out", url)
        assert.equal(23, result.code)
        assert.matches("%-o: cannot write " .. dir:gsub("%p", "%%%0") .. "/none/out: No such file or directory",
            result.err)
        assert.equal(23, fetch("-o", dir, url).code)
        assert.equal(56, fetch(url .. "/first").code)
        assert.same({ "connection", "request GET /first HTTP/1.1" }, { unpack(plain:log(port, 2), 1, 2) })
    end)

    it("leaves the file that is there alone until there is something to take its place", function()
        command.write(dir .. "/kept", "before")
        assert.equal(7, fetch("-o", dir .. "/kept", "http://127.0.0.1:1").code)
        assert.equal(22, fetch("-f", "-o", dir .. "/kept", site.url .. "/teapot").code)
        assert.equal("before", command.read(dir .. "/kept"))
        assert.equal(7, fetch("-o", dir .. "/never", "http://127.0.0.1:1").code)
        assert.equal(1, command.run({ "ls", dir .. "/never" }).code == 0 and 0 or 1)
    end)
end)

describe("what moonloop fetch cannot do", function()
    local function fails(code, pattern, ...)
        local result = fetch(...)
        assert.equal(code, result.code, result.err)
        assert.matches("^moonloop: fetch: [^\n]*" .. pattern .. "[^\n]*\n$", result.err)
        assert.equal("", result.out)
    end

    it("has an exit code for each kind of failure", function()
        fails(3, "http://: the host is missing", "http://")
        fails(3, "ftp://a/: the scheme is none of http, https, http%+unix", "ftp://a/")
        fails(3, "the host is missing; for this machine: http://localhost:8080/path", "/path")
        fails(3, "two slashes follow the scheme: http://localhost/a", "http:/localhost/a")
        fails(3, "a space; write it as %%20", "http://localhost/a b")
        fails(6, "while resolving the name", "http://nobody.invalid/")
        fails(7, "Connection refused, while connecting", "http://127.0.0.1:1/")
        fails(8, "malformed answer", plain:reply("HTTP/1.1 abc\r\n\r\n", "close"))
        fails(22, "/teapot: the server answers 418 ", "-f", site.url .. "/teapot")
        fails(26, "cannot read /none: No such file", "-d", "@/none", site.url)
        fails(26, "%-%-cacert: cannot read /none", "--cacert", "/none", site.url)
        fails(28, "the time is up, while waiting for the answer", "-m", "0.05", plain.url .. "/hang")
        fails(35, "does not speak TLS", "https" .. site.url:sub(5))
        fails(56, "closed the connection without an answer", plain:reply("", "close"))
        assert.equal(0, fetch(site.url .. "/teapot").code)
        local result = fetch("--fail-with-body", site.url .. "/teapot")
        assert.same({ 22, "short and stout\n" }, { result.code, result.out })
    end)

    it("is explained where the words are wrong", function()
        fails(2, "%-H bad: expected 'NAME: VALUE'", "-H", "bad", site.url)
        fails(2, "control character", "-H", "A: b\nc", site.url)
        fails(2, "this method cannot be sent", "-X", "G T", site.url)
        fails(2, "%-u: expected USER:PASSWORD", "-u", "Ann", site.url)
        fails(2, "%-m: expected a number", "-m", "soon", site.url)
        fails(2, "%-d and %-I exclude each other", "-I", "-d", "x", site.url)
        fails(2, "%-F and %-T exclude each other", "-F", "a=b", "-T", "x", site.url)
        fails(35, "holds no certificate in PEM form %(\"BEGIN CERTIFICATE\"%)", "--cert", "VERSION", site.url)
        fails(2, "%-o and %-O exclude each other", "-O", "-o", "x", site.url)
        fails(2, "%-F a: expected NAME=VALUE", "-F", "a", site.url)
        fails(2, "%-%-proxy: the scheme is none of", "-x", "ftp://a", site.url)
        fails(2, "there is no %-%-write%-out: %-%-timing shows", "-w", "%{time_total}", site.url)
        fails(2, "there is no %-%-range: %-H 'Range: bytes=0%-99'", "-r", "0-99", site.url)
        fails(2, "there is no %-%-ipv4: the first address that answers", "-4", site.url)
        fails(2, "%-b jar.txt: expected 'NAME=VALUE'; a file of cookies is not read", "-b", "jar.txt", site.url)
        fails(2, "missing argument 'URL'")
        fails(2, "unknown option %-%-verbos; did you mean %-%-verbose%?", "--verbos", site.url)
    end)

    it("is silent with -s, but for -S", function()
        assert.same({ code = 7, out = "", err = "" }, fetch("-s", "http://127.0.0.1:1/"))
        assert.matches("Connection refused", fetch("-sS", "http://127.0.0.1:1/").err)
    end)

    it("is told in the middle of a body", function()
        local result = fetch(plain:reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close"))
        assert.same({ 56, "half" }, { result.code, result.out })
        assert.matches("before the end of the body", result.err)
    end)
end)

describe("moonloop fetch", function()
    it("ends at once with Ctrl-C", function()
        local url, port = plain:script({ "read", "wait" })
        local child = process.spawn({ command.moonloop, "fetch", url })
        plain:log(port, 2)
        child:kill("INT")
        local how, signal = child:wait(5)
        assert.same({ "killed", 2 }, { how, signal }) -- 130 in a shell
        assert.equal("", child:err())
    end)

    it("is silent when nobody reads any more", function()
        local result = command.run({ "bash", "-c", ('%s fetch %s/sized/3000000 | head -c 5; echo " ${PIPESTATUS[0]}"')
            :format(command.moonloop, plain.url) })
        assert.same({ code = 0, out = "xxxxx 141\n", err = "" }, result)
    end)

    it("says when what it prints goes nowhere", function()
        local result = command.run({ "sh", "-c", ("%s fetch %s/text >/dev/full"):format(command.moonloop, site.url) })
        assert.equal(23, result.code)
        assert.equal("moonloop: fetch: cannot write standard output: No space left on device\n", result.err)
        result = command.run({ "sh", "-c", ("%s fetch %s/text >&-"):format(command.moonloop, site.url) })
        assert.same({ 0, "" }, { result.code, result.err })
    end)

    it("trusts the authorities that it is told to, or nobody in particular", function()
        local authority = certificates.authority()
        local secure = origin.start(certificates.issue(authority, "good", "DNS:localhost,IP:127.0.0.1"))
        local url = secure.url .. "/sized/3"
        local result = fetch(url)
        assert.equal(35, result.code)
        assert.matches("certificate.*; %-k does not look, %-%-cacert FILE trusts another authority", result.err)
        assert.equal("xxx", fetch("-k", url).out)
        assert.equal("xxx", fetch("--cacert", authority .. "/ca.pem", url).out)
        assert.matches("\n%* TLSv1%.%d, [%u%d_]+\n%* certificate CN=good, for localhost, 127.0.0.1\n"
            .. "%* issued by CN=spec CA, good until %d+%-%d%d%-%d%d %d%d:%d%d:%d%d UTC\n< HTTP/1.1 200 OK\n",
            fetch("-vk", url).err)
        assert.matches("tls +[%d.]+ m?s", fetch("--timing", "-k", url).err)
        secure:stop()
        command.remove(authority)
    end)

    it("goes through proxies and to Unix sockets", function()
        local url, port = plain:script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes" },
            "wait" })
        local result = fetch("-v", "-x", "http://Ann:secret@127.0.0.1:" .. port, "http://example.invalid:99/a?b")
        assert.equal("yes", result.out)
        assert.is_nil(result.err:find("secret", 1, true))
        assert.matches("* Through the proxy " .. url .. "\n> GET http://example.invalid:99/a?b HTTP/1.1\n", result.err,
            1, true)
        assert.matches("\n> Host: example.invalid:99\n", result.err, 1, true)
        assert.equal("request GET http://example.invalid:99/a?b HTTP/1.1", plain:log(port, 2)[2])
        local socket = dir .. "/site.sock"
        local local_site = servers.start({ apps = { ["index.lua"] = APP },
            options = { "--bind", "unix:" .. socket } })
        assert.is_truthy(local_site)
        assert.equal("hello\n", fetch("--unix-socket", socket, "http://example.invalid/text").out)
        assert.equal("hello\n", fetch("unix:" .. socket .. ":/text").out)
        assert.matches('"host":"example.invalid"', fetch("--unix-socket", socket, "example.invalid/sees").out)
    end)
end)
