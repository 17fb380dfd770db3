--- Raw bytes in, bytes out. Each case of spec/http/cases runs three ways with the same outcome: in one
--- piece, byte by byte, and glued to a good request behind it.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "root" end)
app:any("/good", function() return "good" end)
app:get("/slow", function() moonloop.sleep(0.005) return "slow" end)
app:get("/host", function(req) return tostring(req.host) end)
app:post("/echo", function(req) return req:body() end)
local function count(req) return tostring(#req:body()) end
app:post("/count", count)
app:post("/large", { max_body = 6000 }, count)
app:post("/small", { max_body = 10 }, count)
app:get("/204", function() return nil end)
app:get("/304", function() return "", 304 end)
app:get("/stream", function(req, res)
    res:write("one ")
    res:write("two ")
    res:write("three")
end)
return app
]]

local GOOD = "GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
local FILES = { "framing", "chunked", "head", "host", "connection", "limits" }
local SPLIT_MAX = 8192 -- byte by byte takes a system call each

local function send_split(connection, bytes)
    for i = 1, #bytes do
        if not connection:send(bytes:sub(i, i)) then
            return -- refused meanwhile: the answer is there to be read
        end
    end
end

---The final responses on a connection, up to its end. Interim ones (100) depend on timing.
local function read_answers(connection, methods)
    local answers = {}
    while true do
        local response, reason = connection:read_response(methods[#answers + 1])
        if not response then
            return answers, reason
        elseif response.status >= 200 then
            answers[#answers + 1] = response
        end
    end
end

local function final(case)
    local statuses, bodies = {}, {}
    for i, status in ipairs(case.answers) do
        if status >= 200 then
            statuses[#statuses + 1] = status
            bodies[#statuses] = case.bodies and case.bodies[i]
        end
    end
    if case.keeps then
        statuses[#statuses + 1] = 200
        bodies[#statuses] = "good"
    end
    return statuses, bodies
end

local function check(case, answers, reason)
    local statuses, bodies = final(case)
    local seen = {}
    for i, answer in ipairs(answers) do
        seen[i] = answer.status
    end
    assert.equal(table.concat(statuses, " ") .. " closed", table.concat(seen, " ") .. " " .. reason)
    for i, answer in ipairs(answers) do
        assert.truthy(answer.headers.date)
        assert.equal(i == #answers and "close" or nil, (answer.headers.connection or ""):match("close"))
        if bodies[i] then
            assert.equal(bodies[i], answer.body)
        end
    end
end

local ways = {
    ["in one piece"] = function(connection, case)
        connection:send(case.request)
    end,
    ["byte by byte"] = function(connection, case)
        send_split(connection, case.request)
    end,
}

describe("HTTP/1.1", function()
    local site
    lazy_setup(function()
        site = server.start({ apps = { ["index.lua"] = APP }, options = {
            "--workers", "1", "--limit-request-line", "200", "--limit-request-header", "1000",
            "--limit-request-fields", "10", "--max-body", "4096",
        } })
    end)
    lazy_teardown(server.clean)

    for _, file in ipairs(FILES) do
        describe(file, function()
            for _, case in ipairs(dofile("spec/http/cases/" .. file .. ".lua")) do
                local name = case[1] .. (case.rfc and " (RFC " .. case.rfc .. ")" or "")
                for way, send in pairs(ways) do
                    if way == "in one piece" or #case.request <= SPLIT_MAX then
                        it(name .. ", " .. way, function()
                            local connection = site:connect()
                            connection:set_timeout(2)
                            send(connection, case)
                            if case.keeps then
                                connection:send(GOOD)
                            end
                            check(case, read_answers(connection, case.methods or {}))
                            connection:close()
                        end)
                    end
                end
                it(name .. ", glued to a good request", function()
                    local connection = site:connect()
                    connection:set_timeout(2)
                    connection:send(case.request .. GOOD)
                    check(case, read_answers(connection, case.methods or {}))
                    connection:close()
                end)
            end
        end)
    end
end)
