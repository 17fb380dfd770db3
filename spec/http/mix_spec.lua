--- Many clients at once, good ones and bad ones: each gets what it would get alone, and nothing is left.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/now/{n:int}", function(req) return tostring(req.params.n) end)
app:get("/later/{n:int}", function(req) moonloop.sleep((req.params.n % 7) / 1000) return tostring(req.params.n) end)
app:post("/echo", function(req) moonloop.sleep(0.001) return req:body() end)
app:get("/stream/{n:int}", function(req, res)
    for i = 1, 5 do res:write(req.params.n .. ":" .. i .. " ") moonloop.sleep(0.001) end
end)
return app
]]

local kinds = {
    function(n) return "GET /now/" .. n .. " HTTP/1.1\r\nHost: a\r\n\r\n", tostring(n) end,
    function(n) return "GET /later/" .. n .. " HTTP/1.1\r\nHost: a\r\n\r\n", tostring(n) end,
    function(n)
        local body = ("body " .. n):rep(n % 50 + 1)
        return ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body), body
    end,
    function(n)
        return ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n")
            :format(#tostring(n), n), tostring(n)
    end,
    function(n)
        return "GET /stream/" .. n .. " HTTP/1.1\r\nHost: a\r\n\r\n",
            ("%d:1 %d:2 %d:3 %d:4 %d:5 "):format(n, n, n, n, n)
    end,
}

describe("many clients at once", function()
    after_each(server.clean)

    it("get their own answers, in order, whoever else leaves or talks nonsense", function()
        local site = server.start({ apps = { ["index.lua"] = APP } })
        local clients = {}
        for i = 1, 60 do
            local requests, expected = {}, {}
            for j = 1, 20 do
                requests[j], expected[j] = kinds[(i * 7 + j * 3) % #kinds + 1](i * 100 + j)
            end
            clients[i] = { connection = site:connect(), bytes = table.concat(requests), expected = expected }
        end
        for part = 0, 3 do -- each client's bytes in four pieces, between those of the others
            for _, client in ipairs(clients) do
                local size = math.ceil(#client.bytes / 4)
                client.connection:send(client.bytes:sub(part * size + 1, (part + 1) * size))
            end
            for _ = 1, 5 do
                local bad = site:connect()
                bad:send(part % 2 == 0 and "nonsense\r\n\r\n" or "GET /stream/1 HTTP/1.1\r\nHost: a\r\n\r\n")
                bad:close()
            end
        end
        for _, client in ipairs(clients) do
            for _, body in ipairs(client.expected) do
                assert.equal(body, assert(client.connection:read_response()).body)
            end
            client.connection:close()
        end
        site:wait_status("all to be gone", function(status)
            local worker = status.workers[1]
            return worker.in_flight == 0 and worker.connections == 0
        end)
    end)
end)
