--- A GET on cosockets as lua-resty-http does it: lines read from a pooled connection, header fields in a
--- table, the body by its length; then the connection goes back to the pool.

-- luacheck: globals ngx

local handlers = require("handlers")

local ngx = ngx
local find, lower, sub, match = string.find, string.lower, string.sub, string.match
local spawn, wait = ngx.thread.spawn, ngx.thread.wait

local HOST, PORT = match(os.getenv("BENCH_ORIGIN") or "http://127.0.0.1:9", "^http://([^:/]+):(%d+)")
local POOL = { pool_size = 512 }

local client = {}

local function read_headers(sock)
    local headers = {}
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        elseif line == "" then
            return headers
        end
        local colon = find(line, ":", 1, true)
        local _, blanks = find(line, "^[ \t]*", colon + 1)
        headers[lower(sub(line, 1, colon - 1))] = sub(line, blanks + 1)
    end
end

local function read_body(sock, headers)
    local length = tonumber(headers["content-length"])
    if not length then
        return nil, "no length"
    end
    return sock:receive(length)
end

--- The body of a 200 and nothing else; nil and why.
function client.get(path)
    local sock = ngx.socket.tcp()
    sock:settimeouts(5000, 5000, 5000)
    local ok, err = sock:connect(HOST, PORT, POOL)
    if not ok then
        return nil, err
    end
    ok, err = sock:send({ "GET ", path, " HTTP/1.1\r\nHost: ", HOST, ":", PORT,
        "\r\nUser-Agent: lua-resty-http/0.17\r\n\r\n" })
    if not ok then
        return nil, err
    end
    local line, headers, body
    line, err = sock:receive("*l")
    local status = line and tonumber(match(line, "^HTTP/1%.%d (%d%d%d)"))
    if status ~= 200 then
        return nil, err or line
    end
    headers, err = read_headers(sock)
    if not headers then
        return nil, err
    end
    body, err = read_body(sock, headers)
    if body and headers.connection ~= "close" then
        sock:setkeepalive(60000, 512)
    end
    return body, err
end

local function get(path)
    return assert(client.get(path))
end

function client.fetch()
    handlers.respond(get("/"), "text/plain; charset=utf-8")
end

function client.fanout()
    local threads, bodies = {}, {}
    for i = 1, 5 do
        threads[i] = spawn(get, "/" .. i)
    end
    for i = 1, 5 do
        local ok, body = wait(threads[i])
        bodies[i] = ok and body or error(body)
    end
    handlers.respond(table.concat(bodies), "text/plain; charset=utf-8")
end

return client
