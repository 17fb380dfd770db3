--- The PROXY protocol through real sockets: who is connected is who the proxy says.

local announcement = require("spec.support.announcement")
local command = require("spec.support.command")
local process = require("spec.support.process")
local server = require("spec.support.server")
local shortage = require("spec.support.shortage")
local socket = require("socket")
local tls = require("spec.support.tls")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function(req) return req.remote_addr .. " " .. req.scheme .. "\n" end)
app:get("/thread", { run = "thread" }, function(req) return req.remote_addr end)
app:post("/", function(req) return req.remote_addr .. " " .. req:body() end)
return app
]]

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local LAST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

local function start(given)
    given = given or {}
    given.apps = { ["index.lua"] = APP }
    given.options = given.options or { "--workers", "1", "--proxy-protocol" }
    return server.start(given)
end

---The body of the answer to a header and a request behind it.
local function asked(site, header, request)
    local connection = site:connect()
    connection:send(header .. (request or LAST))
    local response = connection:read_response()
    connection:close()
    return response and response.body:gsub("\n$", ""), response and response.status
end

describe("a listener that expects the PROXY protocol", function()
    local site

    setup(function()
        site = start({ options = { "--workers", "1", "--proxy-protocol", "--accesslog", "access.log" } })
    end)
    teardown(server.clean)

    it("says so at its start and in its status", function()
        assert.matches("\n  expects a PROXY header from 127.0.0.1\n", site.process:out(), 1, true)
        assert.matches("listens   " .. site.url .. " (expects a PROXY header)\n", site:call("status").out, 1, true)
    end)

    local WELL = {
        { "version 1", announcement.line("1.2.3.4"), "1.2.3.4 http" },
        { "version 1 over IPv6", announcement.line("2001:DB8:0:0::1", "TCP6"), "2001:db8::1 http" },
        { "version 1 that does not know", "PROXY UNKNOWN\r\n", "127.0.0.1 http" },
        { "version 1 that does not know and goes on",
            "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535" .. (" "):rep(48) .. "\r\n", "127.0.0.1 http" },
        { "version 2", announcement.binary("1.2.3.4"), "1.2.3.4 http" },
        { "version 2 over UDP", announcement.binary("1.2.3.4", { family = 0x12 }), "1.2.3.4 http" },
        { "version 2 over IPv6", announcement.binary(nil, { family = 0x21,
            addresses = "\32\1\13\184" .. ("\0"):rep(11) .. "\1" .. ("\0"):rep(20) }), "2001:db8::1 http" },
        { "an IPv4 address within IPv6", announcement.binary(nil, { family = 0x21,
            addresses = ("\0"):rep(10) .. "\255\255\1\2\3\4" .. ("\0"):rep(20) }), "1.2.3.4 http" },
        { "a client of a Unix socket", announcement.binary(nil, { family = 0x31, addresses = ("x"):rep(216) }),
            "127.0.0.1 http" },
        { "no family", announcement.binary(nil, { family = 0, addresses = "what ever" }), "127.0.0.1 http" },
        { "the proxy itself", announcement.binary(nil, { command = 0, family = 0 }), "127.0.0.1 http" },
        { "the proxy itself, with things to skip", announcement.binary(nil, { command = 0, family = 0xff,
            addresses = ("\255"):rep(99) }), "127.0.0.1 http" },
        { "further facts", announcement.binary("1.2.3.4", { extras = announcement.tlv(0x02, "shop.example")
            .. announcement.tlv(0xea, "\1vpce-1") .. announcement.tlv(0x04, "") }), "1.2.3.4 http" },
        { "a client over TLS", announcement.binary("1.2.3.4", { extras = announcement.tlv(0x20, "\1\0\0\0\0") }),
            "1.2.3.4 https" },
        { "a client not over TLS", announcement.binary("1.2.3.4", { extras = announcement.tlv(0x20, "\0\0\0\0\0") }),
            "1.2.3.4 http" },
        { "a checksum", announcement.with_sum("1.2.3.4"), "1.2.3.4 http" },
    }

    for _, case in ipairs(WELL) do
        it("takes the address of " .. case[1], function()
            assert.equal(case[3], (asked(site, case[2])))
        end)
    end

    it("takes headers byte by byte, and cut anywhere", function()
        for _, header in ipairs({ announcement.line("1.2.3.4"), announcement.with_sum("1.2.3.4") }) do
            local all = header .. LAST
            local bytewise = site:connect()
            for i = 1, #all do
                bytewise:send(all:sub(i, i))
            end
            assert.equal("1.2.3.4 http\n", bytewise:read_response().body)
            bytewise:close()
            for cut = 1, #header do
                local connection = site:connect()
                connection:send(all:sub(1, cut))
                socket.sleep(0)
                connection:send(all:sub(cut + 1))
                assert.equal("1.2.3.4 http\n", connection:read_response().body)
                connection:close()
            end
        end
    end)

    it("serves all requests of the connection for that client", function()
        local connection = site:connect()
        connection:send(announcement.line("1.2.3.4") .. GET
            .. "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert.equal("1.2.3.4 http\n", connection:read_response().body)
        assert.equal("1.2.3.4 abc", connection:read_response().body)
        assert.equal("1.2.3.4", connection:request("GET", "/thread").body)
        connection:close()
        process.wait_for("a line of that client", function()
            return (process.read(site.dir .. "/access.log") or ""):find('1.2.3.4 - - [', 1, true)
        end)
    end)

    it("believes X-Forwarded-For of a client that is listed, and of no other", function()
        local function from(header)
            return (asked(site, header, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                .. "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n"))
        end
        assert.equal("9.9.9.9 https", from(announcement.line("127.0.0.1")))
        assert.equal("1.2.3.4 http", from(announcement.line("1.2.3.4")))
        assert.equal("127.0.0.1 http", from("PROXY UNKNOWN\r\n"))
        assert.equal("127.0.0.1 http", from(announcement.binary(nil, { command = 0, family = 0 })))
    end)

    it("takes one header, not two", function()
        local body, status = asked(site, announcement.line("1.2.3.4") .. announcement.line("6.6.6.6"))
        assert.equal(501, status)
        assert.is_nil(body:find("6.6.6.6", 1, true))
    end)
end)

describe("a PROXY header that is none", function()
    after_each(server.clean)

    local ZERO = ("\0"):rep(12)
    local BAD = {
        { "a request", GET, 0, ("this is no PROXY header; it began with \"%s\" (said once")
            :format(shortage.is_regular and "G" or "GET / HTTP/1.1..Host: a.") }, -- as much of it as came at once
        { "another word", "PROXI TCP4", 4, "this is no PROXY header" },
        { "small letters", "proxy TCP4", 0, "this is no PROXY header" },
        { "another protocol", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", 6, "expected TCP4, TCP6 or UNKNOWN" },
        { "none", "PROXY \r\n", 6, "expected TCP4, TCP6 or UNKNOWN" },
        { "an address of the other family", "PROXY TCP4 ::1 ::1 1 2\r\n", 11,
            "the client's address is none of that family" },
        { "a destination of the other family", "PROXY TCP6 ::1 1.2.3.4 1 2\r\n", 15,
            "the destination's address is none of that family" },
        { "a name", "PROXY TCP4 localhost 1.2.3.4 1 2\r\n", 11, "the client's address is none of that family" },
        { "two spaces", "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", 19, "the destination's address is none" },
        { "a port too large", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", 29, "expected a port from 0 to 65535" },
        { "a port with zeros", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", 27,
            "expected a port from 0 to 65535 without zeros in front" },
        { "a word too many", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", 31, "expected the end of the line" },
        { "a space at the end", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", 31, "expected the end of the line" },
        { "a word too few", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 28, "expected a port" },
        { "CR alone", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", 31, "expected LF behind CR" },
        { "a long line", "PROXY UNKNOWN " .. ("x"):rep(92) .. "\r\n", 107, "the line has no end within 107 bytes" },
        { "an endless line", "PROXY UNKNOWN " .. ("x"):rep(200), 107, "the line has no end within 107 bytes" },
        { "version 3", announcement.SIGNATURE .. "\49", 12, "this version is none of 1 and 2" },
        { "another command", announcement.SIGNATURE .. "\34", 12, "the command is neither LOCAL nor PROXY" },
        { "another family", announcement.binary(nil, { family = 0x41 }), 13, "no such address family and protocol" },
        { "another transport", announcement.binary(nil, { family = 0x13 }), 13, "no such address family and protocol" },
        { "too few addresses", announcement.binary(nil, { addresses = ZERO:sub(2) }), 14,
            "the header is too short for its addresses" },
        { "too few of Unix", announcement.binary(nil, { family = 0x31, addresses = ("x"):rep(215) }), 14,
            "the header is too short for its addresses" },
        { "too much", announcement.binary(nil, { addresses = ZERO, length = 4097 }), 14,
            "the header is longer than limit_request_header allows" },
        { "half a TLV", announcement.binary("1.2.3.4", { extras = "\4\0" }), 28, "a TLV reaches beyond the end" },
        { "a TLV that is too long", announcement.binary("1.2.3.4", { extras = "\4\0\1" }), 28, "a TLV reaches beyond" },
        { "another checksum", announcement.with_sum("1.2.3.4", 1), nil, "the CRC32C differs: the header is damaged" },
        { "a short checksum", announcement.binary("1.2.3.4", { extras = announcement.tlv(3, "abc") }), 28,
            "a CRC32C has 4 bytes" },
    }

    it("is answered 400 and never becomes a request; the log names the byte and the reason", function()
        for _, case in ipairs(BAD) do
            local site = start({ options = { "--workers", "1", "--proxy-protocol", "--limit-request-header", "4096" } })
            local connection = site:connect()
            connection:send(case[2])
            local response = connection:read_response()
            assert.equal(400, response.status, case[1])
            assert.equal("a PROXY header is expected here, before anything else\n", response.body)
            connection:send(GET)
            assert.equal("", connection:read_all(), case[1])
            connection:close()
            local place = case[3] and ("byte %d: "):format(case[3]) or ": "
            local log = site:wait_log("127.0.0.1 was refused where a PROXY header is expected: byte ")
            assert.is_truthy(log:find(place .. case[4], 1, true), case[1] .. ": " .. log)
            site:stop()
        end
    end)

    it("is said once, not for each connection", function()
        local site = start()
        for _ = 1, 5 do
            assert.equal(400, select(2, asked(site, "nonsense")))
        end
        site:stop()
        assert.equal(1, select(2, site:log():gsub("was refused where a PROXY header", "")))
    end)

    it("that ends in the middle is closed, and one that does not begin costs nothing", function()
        local site = start()
        site:connect():close() -- a health check
        local connection = site:connect()
        connection:send("PROXY TCP4 1.2.3.4")
        connection:close()
        site:wait_log("byte 18: the connection ended there")
        site:stop()
        assert.equal(1, select(2, site:log():gsub("was refused", "")))
    end)

    it("that does not come within header_timeout ends the connection", function()
        local site = start({ options = { "--workers", "1", "--proxy-protocol", "--header-timeout", "0.2" } })
        local connection = site:connect()
        connection:send("PROXY TCP4 1.2.3.4")
        assert.equal("", connection:read_all())
        site:wait_log('byte 18: the rest of it has not come within header_timeout; it began with "PROXY TCP4 1.2.3.4"')
        local slow = site:connect()
        slow:send(announcement.line("1.2.3.4"))
        assert.equal("", slow:read_all()) -- no head either
        assert.equal("1.2.3.4 http", (asked(site, announcement.line("1.2.3.4"))))
        connection:close()
        slow:close()
    end)
end)

describe("PROXY headers", function()
    after_each(server.clean)

    it("are taken from peers in forwarded_allow_ips alone; others are refused, unread, and that is said", function()
        local site = start({ options = { "--workers", "1", "--proxy-protocol", "--forwarded-allow-ips",
            "127.0.0.2,127.1.0.0/16" } })
        local function from(address)
            local connection = site:connect(address)
            connection:send(announcement.line("1.2.3.4") .. LAST)
            local response = connection:read_response()
            connection:close()
            return response.status, response.body
        end
        local status, body = from("127.0.0.1")
        assert.equal(403, status)
        assert.equal("only proxies that are in forwarded_allow_ips may connect here\n", body)
        assert.equal(403, (from("127.0.0.3")))
        assert.equal(200, (from("127.0.0.2")))
        assert.equal(200, (from("127.1.2.3")))
        assert.equal(403, (from("127.2.2.3")))
        local log = site:wait_log("127.0.0.1 was refused: only peers in forwarded_allow_ips may connect where a PROXY")
        assert.equal(1, select(2, log:gsub("was refused", "")))
    end)

    it("come before TLS, glued to the handshake or byte by byte", function()
        local directory = tls.directory()
        local site = start({ options = { "--workers", "1", "--proxy-protocol", "--redirect-bind", "127.0.0.1:0",
            "--certfile", directory .. "/good.pem", "--keyfile", directory .. "/good.key" } })
        for _, header in ipairs({ announcement.with_sum("1.2.3.4"), announcement.line("1.2.3.4") }) do
            for _, step in ipairs({ 0, 1, 7, 1000 }) do
                local client = command.run({ "timeout", "30", "python3", "spec/support/announced_tls.py",
                    tostring(site.port), (header:gsub(".", function(char)
                        return ("%02x"):format(char:byte())
                    end)), tostring(step), directory .. "/ca.pem" })
                assert.equal("1.2.3.4 https\n", client.out, client.err)
            end
        end
        local plain = server.connect("127.0.0.1", tonumber(site.urls[2]:match("(%d+)$")))
        plain:send(announcement.line("1.2.3.4") .. LAST)
        assert.equal(301, plain:read_response().status)
        plain:close()
        local misplaced = site:connect()
        misplaced:send(announcement.line("1.2.3.4") .. LAST)
        assert.matches("this port speaks https", misplaced:read_response().body)
        misplaced:close()
        local bad = site:connect()
        bad:send("nonsense")
        assert.equal("", bad:read_all()) -- who speaks TLS would not understand an answer
        bad:close()
        command.remove(directory)
    end)

    it("say whom limit_connections_per_ip counts", function()
        local site = start({ options = { "--workers", "1", "--proxy-protocol", "--limit-connections-per-ip", "2" } })
        local held = {}
        local function open(address)
            local connection = site:connect()
            connection:send(announcement.line(address) .. GET)
            local response = connection:read_response()
            if response and response.status == 200 then
                held[#held + 1] = connection
            else
                connection:close()
            end
            return response and response.status
        end
        assert.same({ 200, 200, 503 }, { open("1.2.3.4"), open("1.2.3.4"), open("1.2.3.4") })
        assert.same({ 200, 200, 503 }, { open("5.6.7.8"), open("5.6.7.8"), open("5.6.7.8") })
        for _ = 1, 4 do -- the proxy's own are its business
            local connection = site:connect()
            connection:send(announcement.binary(nil, { command = 0, family = 0 }) .. GET)
            assert.equal(200, connection:read_response().status)
            held[#held + 1] = connection
        end
        site:wait_log("1.2.3.4 has 3 connections; those beyond 2 are turned away")
        held[1]:close()
        process.wait_for("a place to be free", function()
            return open("1.2.3.4") == 200
        end)
    end)

    it("are expected at marked addresses alone, Unix sockets among them, also after an upgrade", function()
        local path = process.directory() .. "/sock"
        local site = start({ bind = "127.0.0.1:0", options = { "--workers", "1", "--bind", "proxy+127.0.0.1:0",
            "--bind", "proxy+unix:" .. path } })
        local function check()
            assert.equal("127.0.0.1 http\n", site:get("/").body)
            local marked = server.connect("127.0.0.1", tonumber(site.urls[2]:match("(%d+)$")))
            marked:send(announcement.line("1.2.3.4") .. LAST)
            assert.equal("1.2.3.4 http\n", marked:read_response().body)
            marked:close()
            local unix = server.connect("unix:" .. path)
            unix:send(announcement.binary("1.2.3.4") .. LAST)
            assert.equal("1.2.3.4 http\n", unix:read_response().body)
            unix:close()
            local unnamed = server.connect("unix:" .. path)
            unnamed:send("PROXY UNKNOWN\r\n" .. LAST)
            assert.equal("unix http\n", unnamed:read_response().body)
            unnamed:close()
        end
        check()
        assert.equal("unix:" .. path, site.urls[3])
        assert.equal(0, site:call("upgrade").code)
        check()
        assert.is_nil(site:log():find("change only with a restart", 1, true))
    end)

    it("are expected or not until a restart, which is said when the configuration changes", function()
        local site = start({ config = "return { workers = 1 }", options = {} })
        process.write(site.dir .. "/moonloop.conf.lua", "return { workers = 1, proxy_protocol = true }")
        site:signal("HUP")
        site:wait_log("bind, redirect_bind, proxy_protocol and the apps directory change only with a restart")
        assert.equal("127.0.0.1 http\n", site:get("/").body)
    end)

    it("are waited for by nobody when the server stops", function()
        local site = start()
        local silent = site:connect()
        local begun = site:connect()
        begun:send(announcement.line("1.2.3.4"))
        assert.equal("1.2.3.4 http", (asked(site, announcement.line("1.2.3.4"))))
        local before = socket.gettime()
        site:stop()
        assert.is_true(socket.gettime() - before < 5)
        silent:close()
        begun:close()
    end)
end)
