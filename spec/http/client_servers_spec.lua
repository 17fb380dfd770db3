--- The HTTP client against servers that others wrote: nginx (on a Unix socket), Node and Python.

local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local process = require("spec.support.process")

local function has(program)
    return command.run({ "sh", "-c", "command -v " .. program }).code == 0
end

---Waits until `attempt` does not raise.
local function eventually(attempt)
    return moonloop.timeout(10, function()
        while true do
            local ok, value = pcall(attempt)
            if ok then
                return value
            end
            moonloop.sleep(0.02)
        end
    end)
end

---Starts a program that ends with its input, and gives the first line that it prints.
local function start(words, directory)
    local fifo = directory .. "/input"
    local out = directory .. "/output"
    command.run({ "mkfifo", fifo })
    os.execute(("sh -c '%s' <%s >%s 2>/dev/null &"):format(words, fifo, out))
    local input = assert(io.open(fifo, "w"))
    local line = eventually(function()
        return assert(command.read(out):match("^(.-)\n"))
    end)
    return line, input
end

describe("the client", function()
    local directory

    before_each(function()
        directory = process.directory()
    end)

    after_each(process.clean)

    local with_nginx = has("nginx") and it or pending
    with_nginx("talks to nginx on a Unix socket, keeping its connection", function()
        local socket = directory .. "/nginx.sock"
        command.write(directory .. "/www/hello.txt", "hello from nginx\n")
        command.write(directory .. "/www/large", ("0123456789"):rep(300000))
        command.write(directory .. "/nginx.conf", ([[
            daemon on; pid DIR/nginx.pid; error_log DIR/error.log; worker_processes 1;
            events { worker_connections 64; }
            http {
                access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy;
                fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
                server {
                    listen unix:DIR/nginx.sock;
                    root DIR/www;
                    keepalive_requests 3; absolute_redirect off;
                    location = /away { return 302 /hello.txt; }
                    location = /private { auth_basic x; auth_basic_user_file DIR/users; }
                    location /kept/ { client_max_body_size 100m; dav_methods PUT; }
                    location = /small { client_max_body_size 10; proxy_pass http://unix:/nonexistent; }
                }
            }]]):gsub("DIR", directory))
        command.run({ "mkdir", "-m", "777", directory .. "/www/kept" })
        command.write(directory .. "/users", "Ann:{PLAIN}secret\n")
        command.write(directory .. "/www/private", "for Ann\n")
        local result = command.run({ "sh", "-c", "chmod -R a+rX " .. directory .. "; nginx -p " .. directory
            .. " -c " .. directory .. "/nginx.conf" })
        assert.equal(0, result.code, result.err)
        local base = "http+unix://" .. socket:gsub("/", "%%2F")
        local client = http.client({ base_url = base })
        local ok, err = pcall(function()
            for _ = 1, 7 do -- nginx ends the connection after each third request
                assert.equal("hello from nginx\n", client:get("/hello.txt"):body())
            end
            assert.equal("hello from nginx\n", http.get("http://unix:" .. socket .. ":/hello.txt?a=b"):body())
            local written = http.client({ base_url = "http://unix:" .. socket .. ":/" })
            assert.equal(base .. "/hello.txt", written:get("away").url)
            assert.equal(3000000, #client:get("/large"):body())
            assert.equal("hello from nginx\n", client:get("/away"):body())
            assert.equal("for Ann\n", client:get("/private", { auth = { "Ann", "secret" } }):body())
            assert.equal(401, client:get("/private", { auth = { "Ann", "wrong" } }).status)
            assert.equal(404, client:get("/missing").status)
            assert.equal("3000000", client:head("/large").headers["Content-Length"])
            assert.equal(413, client:post("/small", { body = ("x"):rep(2000000) }).status)
            assert.equal(413, client:post("/small", { body = http.file(directory .. "/www/large") }).status)
            assert.equal(413, client:post("/small", { body = http.file(directory .. "/www/large"),
                expect = 600 }).status)
            local chunks = client:get("/large"):chunks()
            assert.equal(201, client:put("/kept/a", { body = chunks }).status)
            assert.equal(201, client:put("/kept/b", { body = http.file(directory .. "/www/large"),
                expect = 600 }).status)
            assert.equal(3000000, #client:get("/kept/a"):body())
            assert.is_true(client:get("/kept/b"):body() == client:get("/large"):body())
            assert.equal(304, client:get("/hello.txt",
                { headers = { ["If-None-Match"] = client:head("/hello.txt").headers.etag } }).status)
        end)
        command.run({ "sh", "-c", "kill $(cat " .. directory .. "/nginx.pid)" })
        assert(ok, err)
    end)

    local with_node = has("node") and it or pending
    with_node("talks to Node: chunks as they come, trailers, 103, early ends", function()
        command.write(directory .. "/server.js", [[
            const http = require("http");
            const server = http.createServer((req, res) => {
                if (req.url === "/stream") {
                    res.writeEarlyHints({ link: "</style.css>; rel=preload" });
                    res.writeHead(200, { Trailer: "X-Sum" });
                    let n = 0;
                    const timer = setInterval(() => {
                        res.write("part " + n++ + "\n");
                        if (n === 3) { clearInterval(timer); res.addTrailers({ "X-Sum": "3" }); res.end(); }
                    }, 5);
                } else if (req.url === "/die") {
                    res.write("some"); setTimeout(() => req.socket.destroy(), 5);
                } else {
                    const parts = [];
                    req.on("data", (part) => parts.push(part));
                    req.on("end", () => res.end(Buffer.concat(parts)));
                }
            });
            server.listen(0, "127.0.0.1", () => console.log(server.address().port));
            process.stdin.on("end", () => process.exit()).resume();
        ]])
        local port, input = start("node " .. directory .. "/server.js", directory)
        local client = http.client({ base_url = "http://127.0.0.1:" .. port })
        local parts = {}
        for chunk in client:get("/stream"):chunks() do
            parts[#parts + 1] = chunk
        end
        assert.equal("part 0\npart 1\npart 2\n", table.concat(parts))
        assert.is_true(#parts > 1)
        assert.equal(1, client:stats().idle)
        local body = ("x"):rep(3000000)
        assert.is_true(client:put("/", { body = body }):body() == body)
        local at = 0
        local function pieces()
            at = at + 1
            return at <= 300 and body:sub(at * 10000 - 9999, at * 10000) or nil
        end
        assert.is_true(client:put("/", { body = pieces }):body() == body)
        at = 0
        assert.is_true(client:put("/", { body = pieces, length = #body, expect = 600 }):body() == body)
        assert.equal(1, client:stats().connections)
        local ok, err = pcall(function()
            return client:get("/die"):body()
        end)
        assert.is_false(ok)
        assert.equal("closed", err.code)
        input:close()
    end)

    it("says how a Unix socket is written", function()
        for _, url in ipairs({ "http://unix:/run/app.sock", "unix:/run/app.sock:/", "unix:///run/app.sock",
            "http+unix:///run/app.sock/", "https://unix:/run/app.sock:/" }) do
            local ok, err = pcall(http.get, url)
            assert.is_false(ok)
            assert.matches("a Unix socket is written http://unix:/run/app.sock:/path or "
                .. "http+unix://%2Frun%2Fapp.sock/path", err, 1, true)
        end
        local ok, err = pcall(http.get, "http://unix:/nonexistent/a+b%c.sock:/x")
        assert.is_false(ok)
        assert.equal("http+unix://%2Fnonexistent%2Fa%2Bb%25c.sock/x", err.url)
        assert.equal("refused", err.code)
    end)

    it("talks to Python's HTTP/1.0 server", function()
        command.write(directory .. "/www/a.txt", "hello from Python\n")
        local port, input = start("cd " .. directory .. [[/www; exec python3 -c "
import http.server, sys, threading
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer((\"127.0.0.1\", 0), Quiet)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"]], directory)
        local client = http.client({ base_url = "http://127.0.0.1:" .. port })
        assert.equal("hello from Python\n", client:get("/a.txt"):body())
        assert.equal(0, client:stats().connections)
        assert.equal(404, client:get("/b.txt").status)
        input:close()
    end)
end)
