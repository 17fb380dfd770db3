--- A real server for specs: started on a free port with apps given as text, asked over real sockets.
---
---     local site = server.start({ apps = { ["hello.lua"] = [[...]] }, options = { "--workers", "2" } })
---     assert.equal("Hello\n", site:get("/hello/").body)
---     site:write("hello.lua", new_text)           -- as an editor does
---     site:wait_log("generation 2 is live")
---     after_each(server.clean)

local process = require("spec.support.process")
local socket = require("socket")

local M = {}

local function find_binary()
    local exe = require("posix.unistd").readlink("/proc/self/exe") or ""
    if exe:match("/moonloop$") then
        return exe
    end
    local root = require("posix.unistd").getcwd()
    return os.getenv("SPEC_MOONLOOP") or root .. "/build/moonloop"
end

--- Servers since the last clean, and connections to them.
---@type spec.Server[]
local started = {}
---@type spec.Connection[]
local connected = {}

---The moonloop under test.
M.binary = find_binary()

---Whether it was built with AddressSanitizer or ThreadSanitizer: slower, with more memory, and some of it freed late.
M.is_sanitized = (process.read(M.binary) or ""):find("__[at]san_init") ~= nil

---How often to do what is done many times: a fifth of that in builds with sanitizers, which look for something else
---than the release build does; all of it with SLOW_SPECS=1.
---@param times integer
---@return integer
function M.rounds(times)
    return M.is_sanitized and not os.getenv("SLOW_SPECS") and math.ceil(times / 5) or times
end

---@class spec.Response
---@field status integer
---@field reason string
---@field headers table<string, string> by lower-case name; several lines are joined with ", "
---@field body string

---@class spec.Connection
---@field private socket table
---@field private left string bytes that were read and not used
local Connection = {}
Connection.__index = Connection

---@param bytes string
function Connection:send(bytes)
    return self.socket:send(bytes)
end

local function fill(self)
    local bytes, reason, part = self.socket:receive(65536)
    bytes = bytes or part
    if bytes and #bytes > 0 then
        self.left = self.left .. bytes
        return true
    end
    return false, reason
end

-- LuaSocket returns what there is only when asked for little; so each read wants one byte, then the rest.
local function wait_bytes(self)
    local byte, reason = self.socket:receive(1)
    if not byte then
        return nil, reason
    end
    self.left = self.left .. byte
    self.socket:settimeout(0)
    fill(self)
    self.socket:settimeout(self.timeout)
    return true
end

---Reads until `pattern` matches what came; the text up to its end. Nil and why when the connection ended.
---@param pattern string
---@return string? text
---@return string? reason "closed" or "timeout"
function Connection:read_until(pattern)
    while true do
        local _, last = self.left:find(pattern)
        if last then
            local text = self.left:sub(1, last)
            self.left = self.left:sub(last + 1)
            return text
        end
        local ok, reason = wait_bytes(self)
        if not ok then
            return nil, reason
        end
    end
end

---@param count integer
function Connection:read_bytes(count)
    if #self.left < count then -- in one read: to append to a string is quadratic
        local bytes, reason, part = self.socket:receive(count - #self.left)
        self.left = self.left .. (bytes or part)
        if not bytes then
            return nil, reason
        end
    end
    local text = self.left:sub(1, count)
    self.left = self.left:sub(count + 1)
    return text
end

---Everything until the other side closes.
---@return string
function Connection:read_all()
    local parts = {}
    repeat
        parts[#parts + 1] = self.left
        self.left = ""
    until not wait_bytes(self)
    return table.concat(parts)
end

local function read_chunks(self)
    local parts = {}
    while true do
        local line = assert(self:read_until("\r\n"))
        local size = assert(tonumber(line:match("^%x+"), 16), "bad chunk: " .. line)
        parts[#parts + 1] = assert(self:read_bytes(size))
        assert(self:read_until("\r\n"))
        if size == 0 then
            return table.concat(parts)
        end
    end
end

local function parse_head(head)
    local status, reason = head:match("^HTTP/1%.%d (%d+) ([^\r]*)\r\n")
    assert(status, "no status line: " .. head)
    local response = { status = tonumber(status), reason = reason, headers = {}, head = head }
    for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r]*)") do
        name = name:lower()
        local before = response.headers[name]
        response.headers[name] = before and before .. ", " .. value or value
    end
    return response
end

---Reads one response. Nil and why when the connection ended before it began.
---@param method? string of the request: HEAD has no body
---@return spec.Response?
---@return string? reason
function Connection:read_response(method)
    local head, reason = self:read_until("\r\n\r\n")
    if not head then
        return nil, reason
    end
    local response = parse_head(head)
    local length = response.headers["content-length"]
    if response.status == 100 then
        return response
    elseif method == "HEAD" or response.status == 204 or response.status == 304 then
        response.body = ""
    elseif (response.headers["transfer-encoding"] or ""):find("chunked") then
        response.body = read_chunks(self)
    elseif length then
        response.body, reason = self:read_bytes(tonumber(length))
        if not response.body then
            return nil, reason
        end
    else
        response.body = self:read_all()
    end
    return response
end

---Sends a request on this connection and reads its response.
---@param method string
---@param target string
---@param options? { headers?: table<string, string>, body?: string }
---@return spec.Response?
function Connection:request(method, target, options)
    options = options or {}
    local lines = { method .. " " .. target .. " HTTP/1.1", "Host: localhost" }
    for name, value in pairs(options.headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    if options.body then
        lines[#lines + 1] = "Content-Length: " .. #options.body
    end
    local ok, reason = self:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or ""))
    if not ok then
        return nil, reason
    end
    return self:read_response(method)
end

---@param seconds number how long one read may wait
function Connection:set_timeout(seconds)
    self.timeout = seconds
    self.socket:settimeout(seconds)
end

function Connection:close()
    self.socket:close()
end

---A connection to any TCP address or Unix socket.
---@param host string or "unix:PATH"
---@param port? integer
---@param from? string an address of this machine: "127.0.0.2" is a client of its own
---@return spec.Connection
function M.connect(host, port, from)
    local path = host:match("^unix:(.*)")
    local made
    if path then
        made = require("socket.unix")()
        assert(made:connect(path))
    else
        made = assert(socket.connect(host, port, from, from and 0))
        made:setoption("tcp-nodelay", true)
    end
    local self = setmetatable({ socket = made, left = "" }, Connection)
    self:set_timeout(30)
    connected[#connected + 1] = self
    return self
end

---@class spec.Server
---@field process spec.Process the master
---@field dir string its working directory
---@field apps_dir string
---@field url string the first that it listens on
---@field urls string[]
---@field host string
---@field port integer
local Server = {}
Server.__index = Server

local function parse_urls(self)
    self.urls = {}
    for line in self.process:out():gmatch("[^\n]+") do
        if line:match("^https?://") or line:match("^unix:") or line:match("^fd://") then
            self.urls[#self.urls + 1] = line
        end
    end
    self.url = self.urls[1]
    local host, port = (self.url or ""):match("^https?://(.+):(%d+)$")
    if host then
        self.host, self.port = host:gsub("^%[(.*)%]$", "%1"), tonumber(port)
    end
end

---Writes apps and starts without waiting. See start.
---@return spec.Server
function M.spawn(given)
    local self = setmetatable({}, Server)
    self.dir = given.dir or process.directory()
    self.apps_dir = self.dir .. "/apps"
    process.make_directory(self.apps_dir)
    for name, text in pairs(given.apps or {}) do
        self:write(name, text)
    end
    if given.config then
        process.write(self.dir .. "/moonloop.conf.lua", given.config)
    end
    local words = { given.binary or M.binary, "serve", self.apps_dir }
    if given.bind ~= false then
        words[#words + 1] = "--bind"
        words[#words + 1] = given.bind or "127.0.0.1:0"
    end
    for _, word in ipairs(given.options or { "--workers", "1" }) do
        words[#words + 1] = word
    end
    if given.prefix then
        words = { "sh", "-c", given.prefix .. ' "$@"', "sh", unpack(words) }
    end
    self.env = given.env or {}
    self.process = process.spawn(words, { cwd = self.dir, env = self.env, keep_fd = given.keep_fd })
    started[#started + 1] = self
    return self
end

---Starts a server and waits until it serves.
---`apps`: file name below apps/ and its text. `options`: further words of the command line (default:
---one worker). `bind`: an address, false for none (default 127.0.0.1:0). `config`: moonloop.conf.lua.
---`dir`: of an earlier server. `binary`: another one than M.binary. `prefix`: shell words before it ("ulimit -n 300;").
---@param given { apps?: table<string, string>, options?: string[], bind?: string|false, config?: string,
---  env?: table<string, string>, dir?: string, binary?: string, prefix?: string,
---  keep_fd?: integer }
---@return spec.Server
function M.start(given)
    local self = M.spawn(given)
    process.wait_for("the server to serve", function()
        parse_urls(self)
        if not self.process:is_alive() then
            error("the server ended: " .. self.process:err(), 0)
        end
        return self.url and self.process:out():find("serves") and self.process:out():sub(-1) == "\n"
    end)
    return self
end

---@return integer of the master
function Server:pid()
    return self.process.pid
end

---A raw connection to its first address.
---@param from? string see M.connect
---@return spec.Connection
function Server:connect(from)
    if self.port then
        return M.connect(self.host, self.port, from)
    end
    return M.connect(self.url)
end

---One request on a connection of its own.
---@return spec.Response
function Server:request(method, target, options)
    local connection = self:connect()
    local response, reason = connection:request(method, target, options)
    connection:close()
    return assert(response, reason)
end

---@return spec.Response
function Server:get(target, options)
    return self:request("GET", target, options)
end

---Sends raw bytes on a connection of its own, returns all that comes until the server closes.
---@param bytes string
---@return string
function Server:raw(bytes)
    local connection = self:connect()
    connection:send(bytes)
    local answer = connection:read_all()
    connection:close()
    return answer
end

---Writes a file of the apps directory, as an editor does.
function Server:write(name, text)
    process.write(self.apps_dir .. "/" .. name, text)
end

---Removes a file of the apps directory.
function Server:remove(name)
    process.remove(self.apps_dir .. "/" .. name)
end

---What it has logged so far.
---@return string
function Server:log()
    return self.process:err()
end

---Waits for a line in the log.
---@param text string plain
---@param seconds? number
---@return string log all of it
function Server:wait_log(text, seconds)
    local ok, result = pcall(process.wait_for, ("%q in the log"):format(text), function()
        local log = self:log()
        return log:find(text, 1, true) and log
    end, seconds)
    if not ok then
        error(result .. "; the log is:\n" .. self:log(), 2)
    end
    return result
end

---Runs a command about this server ("status", "--json").
---@param ... string
---@return { code: integer, out: string, err: string }
function Server:call(...)
    local env = { MOONLOOP_APPS = self.apps_dir }
    for name, value in pairs(self.env) do
        env[name] = value
    end
    return process.run({ M.binary, ... }, { cwd = self.dir, env = env })
end

---`moonloop status --json`, decoded.
---@return table
function Server:status()
    local result = self:call("status", "--json")
    assert(result.code == 0, result.err)
    return require("cjson").decode(result.out)
end

---Waits until the status is as wanted; the status.
---@param what string
---@param probe fun(status: table): any
function Server:wait_status(what, probe)
    local status
    process.wait_for(what, function()
        status = self:status()
        return probe(status)
    end)
    return status
end

---The process ids of its workers that serve, in the order of the workers.
---@return integer[]
function Server:worker_pids()
    local pids = {}
    for _, worker in ipairs(self:status().workers) do
        if worker.state == "serving" then
            pids[#pids + 1] = worker.pid
        end
    end
    return pids
end

---@param name string "HUP"
function Server:signal(name)
    self.process:kill(name)
end

---Stops it and waits for its end.
---@return string how "exited" or "killed"
---@return integer code
function Server:stop()
    self.process:kill("TERM")
    return self.process:wait(40)
end

--- What sanitizers print when they have found something.
local FINDINGS = { "ERROR: %a+Sanitizer", "runtime error:", "WARNING: ThreadSanitizer", "broken invariant" }

---Ends everything, for after_each: connections, then servers, orderly if that is quick, so that leaks are looked
---for. Raises what a sanitizer has found in any of the servers.
function M.clean()
    local finding
    for _, connection in ipairs(connected) do
        connection:close()
    end
    connected = {}
    for _, site in ipairs(started) do
        site.process:kill("TERM")
        if not pcall(site.process.wait, site.process, 1) then
            site.process:kill("KILL")
        end
        for _, pattern in ipairs(FINDINGS) do
            local at = site:log():find(pattern)
            finding = finding or at and site:log():sub(at)
        end
    end
    started = {}
    process.clean()
    assert(not finding, finding)
end

return M
