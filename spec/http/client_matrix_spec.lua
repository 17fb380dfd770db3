--- The same requests to every server that others wrote and that is there: nginx, Node, Python with HTTP/1.0 and 1.1.

local command = require("spec.support.command")
local http = require("moonloop.http")
local moonloop = require("moonloop")
local nginx = require("spec.support.nginx")

local function has(program)
    return command.run({ "sh", "-c", "command -v " .. program }).code == 0
end

local LARGE = ("0123456789abcdef"):rep(150000)
local SMALL = "hello\n"
local BROTLI = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so"

---Starts a program in the background that ends with its input, and waits for the first line that it prints.
local function start(directory, program)
    command.write(directory .. "/run", program)
    command.write(directory .. "/output", "")
    command.run({ "mkfifo", directory .. "/input" })
    os.execute(("cd %s && sh run <input >output 2>/dev/null &"):format(directory))
    local input = assert(io.open(directory .. "/input", "w"))
    local line = moonloop.timeout(20, function()
        while true do
            local text = command.read(directory .. "/output")
            if text:find("\n", 1, true) then
                return text:match("^(.-)\n")
            end
            moonloop.sleep(0.01)
        end
    end)
    return line, function()
        input:close()
    end
end

local function start_nginx(directory)
    local brotli = io.open(BROTLI) ~= nil
    nginx.start(directory, ([[
        default_type text/plain; client_max_body_size 10m;
        server {
            listen unix:DIR/back.sock;
            location / { return 200 "got $content_length"; }
        }
        server {
            listen unix:DIR/nginx.sock;
            root DIR/www; keepalive_requests 20; absolute_redirect off;
            location /coded/ { alias DIR/www/; gzip on; gzip_min_length 1; gzip_types *; BROTLI_ON }
            location = /post { proxy_pass http://unix:DIR/back.sock; }
            location = /close { keepalive_timeout 0; return 200 "hello\n"; }
            location = /empty { return 204; }
            location = /away { return 302 /small; }
        }]]):gsub("BROTLI_ON", brotli and "brotli on; brotli_min_length 1; brotli_types *;" or ""),
        brotli and "load_module " .. BROTLI .. ";")
    return nginx.url(directory), function()
        nginx.stop(directory)
    end
end

local NODE = [[
exec node -e '
const http = require("http"), zlib = require("zlib"), fs = require("fs");
const server = http.createServer((req, res) => {
    const parts = [];
    req.on("data", (part) => parts.push(part));
    req.on("end", () => {
        if (req.url === "/post") return res.end("got " + Buffer.concat(parts).length);
        if (req.url === "/empty") { res.statusCode = 204; return res.end(); }
        if (req.url === "/away") { res.writeHead(302, { Location: "/small" }); return res.end(); }
        if (req.url === "/close") { res.setHeader("Connection", "close"); return res.end("hello\n"); }
        const name = req.url.replace("/coded", ""), wants = req.headers["accept-encoding"] || "";
        let body;
        try { body = fs.readFileSync("www" + name); } catch (e) { res.statusCode = 404; return res.end("none"); }
        if (req.url.startsWith("/coded/") && wants.includes("br")) {
            res.setHeader("Content-Encoding", "br");
            body = zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } });
        }
        if (req.headers.range) {
            const [from, to] = req.headers.range.match(/\d+/g).map(Number);
            res.statusCode = 206;
            body = body.subarray(from, to + 1);
        }
        if (name !== "/large") res.setHeader("Content-Length", body.length);
        res.end(body);
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
'
]]

local PYTHON = [[
exec python3 -c '
import gzip, http.server, os, sys, threading, zlib
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/%s"
    def log_message(self, *words): pass
    def answer(self, status, body, fields=()):
        self.send_response(status)
        for name, value in fields: self.send_header(name, value)
        if status != 204: self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, b"got %%d" %% size)
    def do_HEAD(self): self.do_GET()
    def do_GET(self):
        if self.path == "/empty": return self.answer(204, b"")
        if self.path == "/away": return self.answer(302, b"", [("Location", "/small")])
        if self.path == "/close": return self.answer(200, b"hello\n", [("Connection", "close")])
        try: body = open("www/" + os.path.basename(self.path), "rb").read()
        except OSError: return self.answer(404, b"none")
        if self.headers["Range"]:
            first, last = map(int, self.headers["Range"][6:].split("-"))
            return self.answer(206, body[first:last + 1])
        if self.path.startswith("/coded/") and "gzip" in self.headers.get("Accept-Encoding", ""):
            return self.answer(200, gzip.compress(body, 1), [("Content-Encoding", "gzip")])
        self.answer(200, body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
'
]]

local function local_server(program)
    return function(directory)
        local port, stop = start(directory, program)
        return "http://127.0.0.1:" .. port, stop
    end
end

local SERVERS = {
    { "nginx", "nginx", start_nginx, keeps = true },
    { "Node", "node", local_server(NODE), keeps = true },
    { "Python's HTTP/1.1", "python3", local_server(PYTHON:format("1.1")), keeps = true },
    { "Python's HTTP/1.0", "python3", local_server(PYTHON:format("1.0")), keeps = false },
}

for _, server in ipairs(SERVERS) do
    local name, program, begin = server[1], server[2], server[3]
    local there = has(program)
    local run = there and it or pending

    describe("with " .. name .. " the client", function()
        local directory, client, stop

        setup(function()
            if there then
                directory = command.directory()
                command.write(directory .. "/www/small", SMALL)
                command.write(directory .. "/www/large", LARGE)
                local url
                url, stop = begin(directory)
                client = http.client({ base_url = url, timeout = 20 })
            end
        end)

        teardown(function()
            if there then
                stop()
                command.remove(directory)
            end
        end)

        run("gets small and large bodies, one after another and at once", function()
            for _ = 1, 3 do
                assert.equal(SMALL, client:get("/small"):body())
            end
            assert.is_true(client:get("/large"):body() == LARGE)
            local bodies = moonloop.map({ "/small", "/large", "/small", "/large", "/small" }, function(path)
                return client:get(path):body()
            end)
            assert.is_true(bodies[2] == LARGE and bodies[4] == LARGE and bodies[5] == SMALL)
        end)

        run("keeps its connection as long as the server does", function()
            local before = client:stats().reused
            for _ = 1, 30 do -- nginx ends one after 20
                assert.equal(SMALL, client:get("/small"):body())
            end
            local reused = client:stats().reused - before
            assert.is_true(server.keeps and reused >= 25 or not server.keeps and reused == 0, reused)
        end)

        run("lets go of a connection that the server closes", function()
            assert.equal(SMALL, client:get("/close"):body())
            assert.equal(SMALL, client:get("/small"):body())
        end)

        run("gets heads, nothing, what is not there, and what is elsewhere", function()
            local res = client:head("/small")
            assert.same({ 200, "", "6" }, { res.status, res:body(), res.headers["content-length"] })
            res = client:get("/empty")
            assert.same({ 204, "" }, { res.status, res:body() })
            assert.equal(404, client:get("/missing").status)
            res = client:get("/away")
            assert.equal(SMALL, res:body())
            assert.equal(302, res.history[1].status)
        end)

        run("posts small and large bodies", function()
            assert.equal("got 5", client:post("/post", { body = "hello" }):body())
            assert.equal("got " .. #LARGE, client:post("/post", { body = LARGE }):body())
            assert.equal("got 0", client:post("/post", { body = "" }):body():gsub("got $", "got 0"))
        end)

        run("undoes the coding that the server chose", function()
            for path, text in pairs({ ["/coded/small"] = SMALL, ["/coded/large"] = LARGE }) do
                local res = client:get(path)
                assert.is_true(res:body() == text)
                assert.is_truthy(res.coding)
                assert.is_nil(res.headers["content-encoding"])
                assert.is_true(client:get(path, { headers = { ["Accept-Encoding"] = "gzip" } }):body() == text)
            end
            assert.is_nil(client:get("/coded/small", { decode = false }).headers["content-encoding"])
        end)

        run("gets a part of a body", function()
            local res = client:get("/small", { headers = { Range = "bytes=1-3" } })
            assert.same({ 206, "ell" }, { res.status, res:body() })
        end)

        run("saves a large body, and reads it line by line", function()
            local path = directory .. "/saved"
            assert.equal(#LARGE, client:get("/coded/large"):save(path))
            assert.is_true(command.read(path) == LARGE)
            local lines = {}
            for line in client:get("/small"):lines() do
                lines[#lines + 1] = line
            end
            assert.same({ "hello" }, lines)
        end)

        run("gives up in the middle, and goes on with another connection", function()
            local chunks = client:get("/large"):chunks()
            chunks()
            local res = client:get("/large")
            res:close()
            assert.equal(SMALL, client:get("/small"):body())
        end)
    end)
end
