--- Servers with TLS for specs: certificates, clients that look at the handshake.

local certificates = require("spec.support.certificates")
local command = require("spec.support.command")
local http = require("moonloop.http")

local M = {}

M.APP = [[
    local moonloop = require("moonloop")
    local app = moonloop.app()
    app:get("/", function(req)
        return { scheme = req.scheme, tls = req.tls, client = req.client_certificate }
    end)
    app:get("/thread", { run = "thread" }, function(req)
        return { scheme = req.scheme, tls = req.tls, client = req.client_certificate }
    end)
    app:get("/large", function() return ("0123456789"):rep(300000) end)
    app:get("/slow", function() moonloop.sleep(0.2) return "slow" end)
    app:get("/own", function(_, res)
        res.headers["strict-transport-security"] = "max-age=7"
        return "own"
    end)
    app:post("/echo", { max_body = 20000000 }, function(req) return req:body() end)
    return app
]]

---An authority with a certificate for localhost and 127.0.0.1 called good.
---@return string directory to be removed with command.remove
function M.directory()
    local directory = certificates.authority()
    certificates.issue(directory, "good", "DNS:localhost,IP:127.0.0.1")
    return directory
end

---What one worker is started with to serve with certificates of the directory.
---@param directory string
---@param names string[] of certificates, the first for clients that name none
---@param ... string further words
---@return string[]
function M.words(directory, names, ...)
    local words = { "--workers", "1" }
    for _, name in ipairs(names) do
        words[#words + 1], words[#words + 2] = "--certfile", directory .. "/" .. name .. ".pem"
        words[#words + 1], words[#words + 2] = "--keyfile", directory .. "/" .. name .. ".key"
    end
    for _, word in ipairs({ ... }) do
        words[#words + 1] = word
    end
    return words
end

---A client that trusts the authority of the directory.
---@param directory string
---@param options? moonloop.http.ClientOptions
---@return moonloop.http.Client
function M.client(directory, options)
    options = options or {}
    options.ca_file = directory .. "/ca.pem"
    return http.client(options)
end

---What `openssl s_client` prints of a handshake.
---@param port integer
---@param ... string further words
---@return string
function M.handshake(port, ...)
    local result = command.run({ "timeout", "10", "openssl", "s_client", "-connect", "127.0.0.1:" .. port, ... })
    return result.out .. result.err
end

---The common name of the certificate that a server shows.
---@param port integer
---@param name? string whom the client asks for
---@return string?
function M.shown(port, name)
    local words = name and { "-servername", name } or { "-noservername" }
    return M.handshake(port, unpack(words)):match("subject=CN ?= ?([^\n]+)")
end

return M
