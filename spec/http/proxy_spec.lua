--- moonloop.proxy over real sockets: what reaches the server behind, and what comes back.

local json = require("moonloop.json")
local origin = require("spec.support.origin")
local process = require("spec.support.process")
local relay = require("spec.support.relay")
local server = require("spec.support.server")

local to = relay.to

describe("moonloop.proxy", function()
    local site, upstream

    setup(function()
        site, upstream = relay.start()
    end)

    teardown(function()
        server.clean()
        upstream:stop()
    end)

    ---The request as the origin sees it.
    local function echoed(path, options, how)
        return site:request(options and options.method or "GET", to(upstream.port, path, how), options).body
    end

    describe("the request", function()
        it("goes on with its method, path, query and body", function()
            local text = echoed("/echo?a=%20b&c", { method = "PUT", body = "the body" })
            assert.matches("^PUT /echo%?a=%%20b&c HTTP/1.1\r\n", text)
            assert.matches("\r\n\r\nthe body$", text)
            assert.equal("8", relay.fields_of(text)["content-length"])
        end)

        it("loses its prefix however that is encoded, and nothing else", function()
            assert.matches("^GET /echo%?a=%%20 ", echoed("/echo?a=%20", nil, "with"))
            assert.matches("^GET /echo%?a=%%20 ", echoed("/echo?a=%20", nil, "wi%74h"))
        end)

        it("loses the fields that are for one hop alone", function()
            local text = echoed("/echo", { headers = {
                Connection = "close, X-Hop", ["X-Hop"] = "1", ["Keep-Alive"] = "timeout=5", TE = "trailers",
                Trailer = "X", ["Proxy-Authorization"] = "Basic x", ["Proxy-Connection"] = "keep-alive",
                Upgrade = "x", ["X-End"] = "kept", Authorization = "Bearer y", Cookie = "a=b",
            } })
            local fields = relay.fields_of(text)
            for _, name in ipairs({ "connection", "x-hop", "keep-alive", "te", "trailer", "proxy-authorization",
                "proxy-connection", "upgrade" }) do
                assert.is_nil(fields[name], name)
            end
            assert.equal("kept", fields["x-end"])
            assert.equal("Bearer y", fields.authorization)
            assert.equal("a=b", fields.cookie)
        end)

        it("says who asked, and by whom it came", function()
            local fields = relay.fields_of(echoed("/echo", { headers = {
                ["X-Forwarded-For"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https", Via = "1.0 first",
                Forwarded = "for=6.6.6.6", ["X-Real-IP"] = "6.6.6.6",
            } }))
            assert.equal("1.2.3.4, 127.0.0.1", fields["x-forwarded-for"])
            assert.equal("https", fields["x-forwarded-proto"])
            assert.equal("localhost", fields["x-forwarded-host"])
            assert.equal("1.0 first, 1.1 moonloop", fields.via)
            assert.is_nil(fields.forwarded) -- proxies write the others here: this one is the client's own
            assert.equal("1.2.3.4", fields["x-real-ip"])
            assert.equal(16, #fields["x-request-id"])
            assert.equal("127.0.0.1:" .. upstream.port, fields.host)
        end)

        it("adds no field of its own beside those", function()
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(upstream.port, "/echo")))
            local fields = relay.fields_of(connection:read_response().body)
            connection:close()
            for _, name in ipairs({ "user-agent", "accept", "accept-encoding", "content-length", "forwarded" }) do
                assert.is_nil(fields[name], name)
            end
        end)

        it("keeps the client's Host when asked to", function()
            local fields = relay.fields_of(echoed("/echo", nil, "keep"))
            assert.equal("localhost", fields.host)
            assert.equal("for=127.0.0.1;proto=http;host=localhost", fields.forwarded)
            assert.equal("1.1 gate", fields.via)
        end)

        it("says the same in Forwarded when asked to", function()
            local function said(headers)
                return relay.fields_of(echoed("/echo", { headers = headers }, "keep")).forwarded
            end
            assert.equal("for=1.2.3.4;proto=https;host=shop.example, for=127.0.0.1;proto=http;host=localhost", said({
                ["X-Forwarded-For"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https",
                ["X-Forwarded-Host"] = "shop.example", Forwarded = "for=6.6.6.6",
            }))
            assert.equal('for=unknown, for="[2001:db8::1]";proto=https, for=127.0.0.1;proto=http;host=localhost', said({
                ["X-Forwarded-For"] = 'a"b;c, 2001:DB8:0::1', ["X-Forwarded-Proto"] = "https",
            }))
            assert.equal('for=127.0.0.1;proto=https;host="a:80"', said({
                ["X-Forwarded-Proto"] = "https", ["X-Forwarded-Host"] = "a:80",
            }))
        end)

        it("takes fields of the handler's in place of the client's", function()
            local fields = relay.fields_of(echoed("/echo", { headers = { Cookie = "a=b", Accept = "x/y" } }, "set"))
            assert.equal("z=1", fields.cookie)
            assert.equal("1|2", fields["x-own"])
            assert.is_nil(fields.accept)
        end)

        it("has its path put together as the options say", function()
            local text = site:get(("/fixed/%d?at=2"):format(upstream.port))
            assert.equal(404, text.status)
            local log = site:get(("/read/%d"):format(upstream.port))
            assert.equal(405, log.status)
            local url, port = upstream:script({ "read", { "send", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" } })
            assert.is_string(url)
            site:get(("/fixed/%d?at=2"):format(port))
            assert.equal("request GET /base/asked2?at=2 HTTP/1.1", upstream:log(port, 2)[2])
        end)

        it("may have been read by the handler", function()
            local text = site:request("POST", "/read/" .. upstream.port, { body = "abc" }).body
            assert.matches("\r\n\r\nabc$", text)
            assert.equal("3", relay.fields_of(text)["x-length"])
        end)

        it("is refused when its path climbs", function()
            for _, path in ipairs({ "/a/../b", "/..", "/%2e%2e/x", "/a/%2E%2E%2fx", "/a/..%5cx", "/./x" }) do
                local answer = site:raw(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):format(
                    to(upstream.port, path)))
                assert.matches("^HTTP/1.1 400", answer, path)
            end
            assert.equal(404, site:get(to(upstream.port, "/a..b/...x")).status)
        end)

        it("is streamed when it is large, with its length when that is known", function()
            local size = 40 * 1024 * 1024
            local pid = site:worker_pids()[1]
            local before = process.resident_kb(pid)
            local connection = site:connect()
            connection:send(("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(
                to(site.port, "/sink", "long"), size))
            local piece = ("y"):rep(1024 * 1024)
            for _ = 1, size / #piece do
                connection:send(piece)
            end
            local got = json.decode(connection:read_response().body)
            connection:close()
            assert.equal(size, got.count)
            assert.equal(tostring(size), got.length)
            assert.is_true(process.resident_kb(pid) - before < 16 * 1024, "kilobytes more")
        end)

        it("is streamed in chunks when its length is not known", function()
            local connection = site:connect()
            connection:send(("POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):format(
                to(site.port, "/sink?chunked", "long")))
            site:wait_log("sink has begun /sink?chunked")
            connection:send("2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n")
            local got = json.decode(connection:read_response().body)
            connection:close()
            assert.equal(5, got.count)
            assert.equal("chunked", got.coding)
        end)

        it("gets its 100 Continue from here, once somebody wants the body", function()
            local connection = site:connect()
            connection:send(("POST %s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"):format(
                to(upstream.port, "/echo")))
            assert.equal(100, connection:read_response().status)
            connection:send("abc")
            local text = connection:read_response().body
            connection:close()
            assert.matches("\r\n\r\nabc$", text)
            assert.is_nil(relay.fields_of(text).expect)
        end)

        it("keeps to the max_body of its route", function()
            local bytes = ("POST %s HTTP/1.1\r\nHost: a\r\n"):format(to(site.port, "/sink", "small"))
            assert.matches("^HTTP/1.1 413", site:raw(bytes .. "Content-Length: 11\r\n\r\n" .. ("x"):rep(11)))
            local connection = site:connect()
            connection:send(bytes .. "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n")
            connection:send("6\r\nghijkl\r\n")
            assert.equal(413, connection:read_response().status)
            connection:close()
        end)

        it("keeps to the timeout of its route", function()
            local _, port = upstream:script({ "read", "wait" })
            local response = site:get(to(port, "/", "hasty"))
            assert.equal(504, response.status)
            assert.equal("the request took too long\n", response.body)
            assert.equal("end 0", upstream:log(port, 3)[3])
        end)

        it("is given up when its client leaves", function()
            local connection = site:connect()
            local _, port = upstream:script({ "read", "wait" })
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(port, "/")))
            upstream:log(port, 2)
            connection:close()
            assert.equal("end 0", upstream:log(port, 3)[3])
        end)

        it("is given up when its client leaves in the middle of the body", function()
            local connection = site:connect()
            local _, port = upstream:script({ "head", "wait" })
            connection:send(("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"):format(to(port, "/")))
            upstream:log(port, 2)
            connection:close()
            assert.matches("end %d", upstream:log(port, 3)[3])
        end)
    end)

    describe("the answer", function()
        local function answered(bytes, after, method, how)
            local url = upstream:reply(bytes, after)
            local path = url:match("^http://[^/]+(.*)$")
            return site:request(method or "GET", to(upstream.port, path, how))
        end

        it("that finds its client gone is no error of this server's", function()
            local url = upstream:reply("HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(4000), "close")
            local path = url:match("^http://[^/]+(.*)$")
            local connections = {}
            for i = 1, 60 do
                connections[i] = site:connect()
                connections[i]:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(upstream.port, path)))
            end
            for _, connection in ipairs(connections) do
                connection:close()
            end
            assert.equal(200, answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").status)
            assert.is_nil(site:log():find("the client has gone", 1, true))
        end)

        it("comes back with status, fields and body", function()
            local response = answered("HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX-A: b\r\nSet-Cookie: a=1\r\n"
                .. "Set-Cookie: b=2\r\nContent-Type: x/y\r\nServer: old\r\n\r\nhi")
            assert.equal(201, response.status)
            assert.equal("hi", response.body)
            assert.equal("2", response.headers["content-length"])
            assert.equal("b", response.headers["x-a"])
            assert.equal("x/y", response.headers["content-type"])
            assert.equal("old", response.headers.server)
            assert.equal("1.1 moonloop", response.headers.via)
            local _, cookies = response.head:gsub("\r\nSet%-Cookie: ", "")
            assert.equal(2, cookies)
        end)

        it("loses the fields that are for one hop alone", function()
            local response = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, X-Hop\r\n"
                .. "X-Hop: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X-T\r\nProxy-Authenticate: Basic\r\n\r\n"
                .. "2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n")
            assert.equal("hi", response.body)
            for _, name in ipairs({ "connection", "x-hop", "keep-alive", "trailer", "proxy-authenticate", "x-t" }) do
                assert.is_nil(response.headers[name], name)
            end
        end)

        it("has no body for HEAD, 204 and 304, and no type that the upstream did not give", function()
            local head = answered("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "keep", "HEAD")
            assert.equal("1234", head.headers["content-length"])
            assert.is_nil(head.headers["content-type"])
            local chunked = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "keep", "HEAD")
            assert.is_nil(chunked.headers["content-length"])
            assert.equal(204, answered("HTTP/1.1 204 No Content\r\n\r\n").status)
            local not_modified = answered("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")
            assert.equal(304, not_modified.status)
            assert.equal('"x"', not_modified.headers.etag)
            assert.is_nil(answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").headers["content-type"])
        end)

        it("is not decoded", function()
            local body = "\31\139\8\0\0\0\0\0\0\3\203\200\4\0\172\42\147\216\2\0\0\0"
            local head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            local response = answered(head:format(#body) .. body)
            assert.equal(body, response.body)
            assert.equal("gzip", response.headers["content-encoding"])
        end)

        it("joins what the handler and its middleware have set", function()
            local response = site:get(to(upstream.port, "/sized/3", "with"))
            assert.equal("kept", response.headers["x-before"])
            assert.equal("seen", site:get(to(upstream.port, "/sized/3", "guarded")).headers["x-guard"])
            local url = upstream:reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: text/new\r\n\r\n")
            response = site:get(to(upstream.port, url:match("^http://[^/]+(.*)$"), "with"))
            assert.equal("text/new", response.headers["content-type"])
        end)

        it("is streamed as it comes", function()
            local _, port = upstream:script({ "read",
                { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst" }, "wait" })
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(port, "/")))
            assert.matches("Content%-Length: 10", connection:read_until("\r\n\r\n"))
            assert.equal("first", connection:read_bytes(5))
            connection:close()
            assert.equal("end 0", upstream:log(port, 3)[3])
        end)

        it("is streamed when it is large, and a slow client holds the upstream back", function()
            local pid = site:worker_pids()[1]
            local before = process.resident_kb(pid)
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):format(
                to(site.port, "/flood?chunks=800", "long")))
            connection:read_until("\r\n\r\n")
            local sent, same = -1, 0
            process.wait_for("the flood to stand still", function()
                local now = tonumber(site:log():match(".*flood sent (%d+)")) or 0
                same = now == sent and same + 1 or 0
                sent = now
                return same > 10
            end)
            assert.is_nil(site:log():find("flood done", 1, true))
            assert.is_true(process.resident_kb(pid) - before < 16 * 1024, "kilobytes more")
            assert.is_true(#connection:read_all() > 800 * 65536)
            connection:close()
            site:wait_log("flood done")
        end)

        it("ends with the connection for a client of HTTP/1.0, when its length is not known", function()
            local url = upstream:reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            local target = to(upstream.port, url:match("^http://[^/]+(.*)$"))
            local text = site:raw(("GET %s HTTP/1.0\r\n\r\n"):format(target))
            assert.matches("\r\n\r\nhi$", text)
            assert.is_nil(text:lower():find("transfer-encoding", 1, true))
        end)

        it("passes 103 on, and nothing of 100", function()
            local _, port = upstream:script({ "read", { "send", "HTTP/1.1 100 Continue\r\n\r\n"
                .. "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n"
                .. "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" } })
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(port, "/")))
            local early = connection:read_until("\r\n\r\n")
            assert.matches("^HTTP/1.1 103 Early Hints\r\n", early)
            assert.matches("[Ll]ink: </a.css>", early)
            assert.is_nil(early:find("onnection", 1, true))
            assert.equal("hi", connection:read_response().body)
            connection:close()
        end)

        it("is cut, not shortened, when the upstream fails in the middle", function()
            for _, case in ipairs({
                { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close" },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "close" },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", { "send", "nonsense\r\n" } },
                { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "reset" },
            }) do
                local _, port = upstream:script({ "read", { "send", case[1] }, "pause", case[2] })
                local connection = site:connect()
                connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(port, "/")))
                local ok, response = pcall(connection.read_response, connection)
                assert.is_true(not ok or not response or response.status == 502) -- the latter when all came at once
                connection:close()
            end
            site:wait_log("the client's connection is cut")
        end)

        it("is cut when nothing of it comes for idle_timeout", function()
            local _, port = upstream:script({ "read",
                { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, "wait" })
            local connection = site:connect()
            connection:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(to(port, "/", "idle")))
            assert.matches("half$", connection:read_all())
            connection:close()
        end)
    end)

    it("names what is wrong with its arguments", function()
        local messages = json.decode(site:get("/wrong").body)
        assert.matches("moonloop.proxy: unknown option stirp", messages[1])
        assert.matches("are a moonloop.upstream{ … } made once", messages[2], 1, true)
        assert.matches("localhost:80", messages[3], 1, true)
        assert.matches('strip: expected the beginning of a path, such as "/api", got "api"', messages[4], 1, true)
    end)
end)

describe("a server that believes nobody", function()
    local site, upstream

    setup(function()
        upstream = origin.start()
        site = server.start({ apps = { ["index.lua"] = relay.APP },
            options = { "--workers", "1", "--forwarded-allow-ips", "10.0.0.1" } })
    end)

    teardown(function()
        server.clean()
        upstream:stop()
    end)

    it("does not pass on what a client says of others", function()
        local text = site:get(("/to/%d/echo"):format(upstream.port), { headers = {
            ["X-Forwarded-For"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https", ["X-Forwarded-Host"] = "evil",
            Forwarded = "for=1.2.3.4", ["X-Real-IP"] = "1.2.3.4",
        } }).body
        local fields = relay.fields_of(text)
        assert.equal("127.0.0.1", fields["x-forwarded-for"])
        assert.equal("http", fields["x-forwarded-proto"])
        assert.equal("localhost", fields["x-forwarded-host"])
        assert.is_nil(fields.forwarded)
        assert.is_nil(fields["x-real-ip"])
    end)
end)
