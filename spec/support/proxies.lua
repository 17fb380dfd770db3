--- Starts proxies that others wrote, on loopback: tinyproxy, squid and microsocks for clients, haproxy and nginx before
--- servers. process.clean() ends them.

local process = require("spec.support.process")
local socket = require("socket")

local M = {}

---@return boolean
function M.has(program)
    return process.run({ "sh", "-c", "command -v " .. program }).code == 0
end

local function free_port()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    listener:close()
    return tonumber(port)
end

local function is_listening(port)
    local connection = socket.connect("127.0.0.1", port)
    return connection and connection:close()
end

---Starts a program that cannot pick a port by itself: tries others when somebody is faster.
---@param words fun(port: integer): string[]
---@return spec.Process
---@return integer port
local function start(words)
    for _ = 1, 5 do
        local port = free_port()
        local child = process.spawn(words(port))
        process.wait_for(words(port)[1], function()
            return is_listening(port) or not child:is_alive()
        end)
        if child:is_alive() then
            return child, port
        end
    end
    error("could not start " .. words(0)[1])
end

---@class spec.Proxy
---@field url string without user and password
---@field port integer
---@field process spec.Process
---@field log fun(): string what it was asked for

---@param settings? string more lines of configuration
---@return spec.Proxy
function M.tinyproxy(settings)
    local dir = process.directory()
    local child, port = start(function(port)
        process.write(dir .. "/conf", ("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Connect\n"
            .. "LogFile \"%s/log\"\n%s\n"):format(port, dir, settings or ""))
        return { "tinyproxy", "-d", "-c", dir .. "/conf" }
    end)
    return {
        url = "http://127.0.0.1:" .. port, port = port, process = child,
        log = function()
            return process.read(dir .. "/log") or ""
        end,
    }
end

---@param credentials? { [1]: string, [2]: string } that it asks for
---@return spec.Proxy
function M.squid(credentials)
    local dir = process.directory()
    local name = "spec" .. dir:gsub("%W", ""):sub(-6)
    process.run({ "chmod", "777", dir })
    local access = "http_access allow all"
    if credentials then
        process.write(dir .. "/users", ("%s:%s\n"):format(credentials[1],
            process.run({ "openssl", "passwd", "-apr1", credentials[2] }).out:gsub("%s", "")))
        process.run({ "chmod", "644", dir .. "/users" })
        access = ("auth_param basic program /usr/lib/squid/basic_ncsa_auth %s/users\nauth_param basic children 1\n"
            .. "auth_param basic casesensitive on\n"
            .. "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all"):format(dir)
    end
    local child, port = start(function(port)
        process.write(dir .. "/conf", ([[
http_port 127.0.0.1:PORT
ACCESS
cache deny all
cache_mem 1 MB
memory_cache_shared off
access_log stdio:DIR/access.log
logfile_rotate 0
cache_log DIR/cache.log
pid_filename none
coredump_dir DIR
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
cache_effective_user nobody
]]):gsub("%u%u%u%u+", { PORT = port, ACCESS = access }):gsub("DIR", dir))
        return { "squid", "-N", "-n", name, "-f", dir .. "/conf" }
    end)
    return {
        url = "http://127.0.0.1:" .. port, port = port, process = child,
        log = function()
            return process.read(dir .. "/access.log") or ""
        end,
        stop = function() -- it keeps shared memory otherwise
            child:kill("KILL") -- at TERM it takes its time
            child:wait()
            process.run({ "sh", "-c", "rm -f /dev/shm/" .. name .. "-*" })
        end,
    }
end

---@param credentials? { [1]: string, [2]: string }
---@return spec.Proxy
function M.microsocks(credentials)
    local child, port = start(function(port)
        local words = { "microsocks", "-i", "127.0.0.1", "-p", tostring(port) }
        for i, flag in ipairs(credentials and { "-u", "-P" } or {}) do
            words[#words + 1], words[#words + 2] = flag, credentials[i]
        end
        return words
    end)
    return {
        url = "socks5://127.0.0.1:" .. port, port = port, process = child,
        log = function()
            return child:out() .. child:err()
        end,
    }
end

---haproxy before a server.
---@param mode string "tcp" or "http"
---@param port integer of the server
---@param words string behind the server's address: "send-proxy-v2"
---@param bind? string behind its own address: "ssl crt FILE"
---@return integer port
---@return spec.Process
function M.haproxy(mode, port, words, bind)
    local dir = process.directory()
    local child, own = start(function(own)
        process.write(dir .. "/conf", ([[
global
    maxconn 100
    nbthread 1
defaults
    mode %s
    option forwardfor
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen it
    bind 127.0.0.1:%d %s
    server one 127.0.0.1:%d %s
]]):format(mode, own, bind or "", port, words))
        return { "haproxy", "-db", "-f", dir .. "/conf" }
    end)
    return own, child
end

local STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

---Whether nginx can be had with its stream module.
---@return boolean
function M.has_nginx_stream()
    return M.has("nginx") and process.read(STREAM_MODULE) ~= nil
end

---nginx passing bytes on to a server, with a PROXY header (version 1) before them.
---@param port integer of the server
---@return integer port
function M.nginx_stream(port)
    local dir = process.directory()
    local _, own = start(function(own)
        process.write(dir .. "/conf", ([[
load_module %s; daemon off; master_process off; pid %s/pid; error_log %s/log;
events { worker_connections 64; }
stream { server { listen 127.0.0.1:%d; proxy_pass 127.0.0.1:%d; proxy_protocol on; } }
]]):format(STREAM_MODULE, dir, dir, own, port))
        return { "nginx", "-p", dir, "-c", dir .. "/conf" }
    end)
    return own
end

return M
