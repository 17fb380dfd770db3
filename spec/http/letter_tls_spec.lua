--- RFC 9112, 9.8: connections over TLS that end without a closure alert.

local command = require("spec.support.command")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local CLIENT = [[
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2] + "/ca.pem")
for path in ("/", "/large", "/slow"):
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    secured = context.wrap_socket(plain, server_hostname="localhost")
    secured.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if path != "/slow":
        print(secured.recv(12).decode())
    secured.close()  # of the socket alone: Python sends no alert
]]

describe("a client of TLS that closes without an alert", function()
    local directory

    setup(function()
        directory = tls.directory()
    end)

    teardown(function()
        server.clean()
        command.remove(directory)
    end)

    it("has had its answers, and costs others nothing", function()
        local site = server.start({ apps = { ["index.lua"] = tls.APP }, options = {
            "--certfile", directory .. "/good.pem", "--keyfile", directory .. "/good.key", "--workers", "1" } })
        local result = command.run({ "python3", "-c", CLIENT, tostring(site.port), directory })
        assert.equal("HTTP/1.1 200\nHTTP/1.1 200\n", result.out, result.err)
        local response = tls.client(directory):get(("https://localhost:%d/"):format(site.port))
        assert.equal(200, response.status)
        assert.is_nil(site:log():lower():find("error", 1, true))
    end)
end)
