--- HTTP/1.1 to the letter (RFC 9110, RFC 9112): raw bytes in, bytes out. The cases of spec/http/letter are
--- data; each runs in the same six ways with the same outcome: alone in one piece, byte by byte, behind a good
--- request, glued to a good request behind it, between two good ones, and between two byte by byte.
---
--- A case: `[1]` what is shown, `rfc` its section, `request` the bytes, `answers` the statuses in order (1xx
--- included, though they are not looked for), `bodies` and `headers` by number of the answer (a header is a text,
--- a pattern when it begins with ^, or false for absent), `methods` where the reading depends on it, `keeps`:
--- the connection goes on, and serves what is behind. `roomy`: on a server with the default limits. `unglued`:
--- the client keeps bytes back for which it would have to wait.

local server = require("spec.support.server")

local APP = [[
local moonloop = require("moonloop")
local app = moonloop.app()
app:get("/", function() return "root" end)
app:any("/good", function() return "good" end)
app:get("/slow", function() moonloop.sleep(0.005) return "slow" end)
app:get("/host", function(req) return tostring(req.host) end)
app:any("/method", function(req) return req.method end)
app:get("/query", function(req) return req.query.q end)
app:get("/field", function(req) return req.headers["x"] or "none" end)
app:get("/path/{p}", function(req, res) return req.params.p end)
app:post("/echo", function(req) return req:body() end)
local function count(req) return tostring(#req:body()) end
app:post("/count", count)
app:post("/large", { max_body = 6000 }, count)
app:post("/small", { max_body = 10 }, count)
app:post("/json", function(req) return tostring(req:json().a) end)
app:post("/form", function(req) return req:form().a end)
app:get("/204", function() return nil end)
app:get("/205", function() return "text", 205 end)
app:get("/304", function() return "text", 304, { ["ETag"] = '"a"' } end)
app:get("/299", function() return "text", 299 end)
app:get("/500", function() return "text", 500 end)
app:get("/error", function() error("broken") end)
app:get("/stream", function(req, res)
    res:write("one ")
    res:write("two ")
    res:write("three")
end)
return app
]]

local GOOD = "GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
local FIRST = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
local FILES = {
    "framing", "chunked", "head", "versions", "methods", "host", "target", "connection", "expect", "answers",
    "fields", "limits",
}
local SPLIT_MAX = 8192 -- byte by byte takes a system call each
local DATE = "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$" -- RFC 9110, 5.6.7

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

---What has to come, with the good requests around it.
local function expected_of(case, is_behind)
    local expected = {}
    local function add(status, body, headers, method)
        expected[#expected + 1] = { status = status, body = body, headers = headers or {}, method = method }
    end
    if is_behind then
        add(200, "good")
    end
    local finals = 0
    for i, status in ipairs(case.answers) do
        if status >= 200 then
            finals = finals + 1
            add(status, (case.bodies or {})[i], (case.headers or {})[i], (case.methods or {})[finals])
        end
    end
    if case.keeps then
        add(200, "good")
    end
    return expected
end

local function check_header(name, wanted, value)
    if wanted == false then
        assert.equal(nil, value, name)
    elseif wanted:sub(1, 1) == "^" then
        assert.matches(wanted, value or "", nil, nil, name)
    else
        assert.equal(wanted, value, name)
    end
end

local function check(expected, answers, reason)
    local wanted, seen = {}, {}
    for i, each in ipairs(expected) do
        wanted[i] = each.status
    end
    for i, answer in ipairs(answers) do
        seen[i] = answer.status
    end
    assert.equal(table.concat(wanted, " ") .. " closed", table.concat(seen, " ") .. " " .. reason)
    for i, answer in ipairs(answers) do
        assert.matches("^HTTP/1%.1 %d%d%d ", answer.head)
        assert.matches(DATE, answer.headers.date)
        assert.equal(i == #answers and "close" or nil, (answer.headers.connection or ""):match("close"))
        if expected[i].body then
            assert.equal(expected[i].body, answer.body)
        end
        for name, value in pairs(expected[i].headers) do
            check_header(name, value, answer.headers[name])
        end
    end
end

---Each way: whether a good request is before the case, whether one is glued behind it, whether it is split.
local ways = {
    { "alone" },
    { "byte by byte", split = true },
    { "behind a good request", behind = true },
    { "glued to a good request", glued = true },
    { "between two good requests", behind = true, glued = true },
    { "between two good requests byte by byte", behind = true, glued = true, split = true },
}

local function run(site, case, way)
    local connection = site:connect()
    connection:set_timeout(2)
    local bytes = (way.behind and FIRST or "") .. case.request .. ((way.glued or case.keeps) and GOOD or "")
    local cut = way.glued and #bytes or #bytes - (case.keeps and #GOOD or 0)
    local send = way.split and send_split or connection.send
    send(connection, bytes:sub(1, cut))
    if cut < #bytes then
        connection:send(bytes:sub(cut + 1))
    end
    local expected = expected_of(case, way.behind)
    local methods = {}
    for i, each in ipairs(expected) do
        methods[i] = each.method
    end
    check(expected, read_answers(connection, methods))
    connection:close()
end

describe("HTTP/1.1", function()
    local limited, roomy
    lazy_setup(function()
        limited = server.start({ apps = { ["index.lua"] = APP }, options = {
            "--workers", "1", "--limit-request-line", "200", "--limit-request-header", "1000",
            "--limit-request-fields", "10", "--max-body", "4096",
        } })
        roomy = server.start({ apps = { ["index.lua"] = APP } })
    end)
    lazy_teardown(server.clean)

    ---Its answers, in order, to requests for all of `paths` at once.
    local function ask_all(...)
        local connection, answers = limited:connect(), {}
        for i, path in ipairs({ ... }) do
            connection:send("GET " .. path .. " HTTP/1.1\r\nHost: a\r\n" .. (i == select("#", ...)
                and "Connection: close\r\n\r\n" or "\r\n"))
        end
        for i = 1, select("#", ...) do
            answers[i] = assert(connection:read_response())
        end
        connection:close()
        return answers
    end

    it("has nothing between status line and fields", function()
        for _, answer in ipairs(ask_all("/good", "/none", "/204", "/304", "/stream")) do
            assert.matches("^HTTP/1%.1 %d%d%d [%a ]*\r\n%a[%a-]*: ", answer.head)
        end
    end)

    it("has fields of one line each, one blank behind their colon and none at the end", function()
        for _, answer in ipairs(ask_all("/good", "/none", "/304", "/stream", "/error")) do
            for line in answer.head:match("^[^\r]*\r\n(.*)$"):gmatch("([^\r\n]+)") do
                assert.matches("^[%w-]+: %S.*%S$", line .. "|")
                assert.is_nil(line:find("[ \t]$"), line)
            end
        end
    end)

    it("answers a client that has closed its side, when the answer is ready", function()
        local connection = limited:connect()
        connection:send("GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /good HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.socket:shutdown("send")
        local text = connection:read_all()
        connection:close()
        assert.equal(2, select(2, text:gsub("HTTP/1%.1 200 ", "")))
    end)

    it("has Connection: close in the last answer and in no other", function()
        local answers = ask_all("/good", "/none", "/stream")
        assert.equal(nil, answers[1].headers.connection)
        assert.equal(nil, answers[2].headers.connection)
        assert.equal("close", answers[3].headers.connection)
    end)

    it("has a Date of now in its preferred form", function()
        local before = os.time() - 1 -- of the second before, when it has just begun
        local answers = ask_all("/good", "/none", "/304", "/error")
        for _, answer in ipairs(answers) do
            assert.matches(DATE, answer.headers.date)
            local is_now = false
            for second = before, os.time() do
                is_now = is_now or answer.headers.date == os.date("!%a, %d %b %Y %H:%M:%S GMT", second)
            end
            assert.is_true(is_now, answer.headers.date)
        end
    end)

    for _, file in ipairs(FILES) do
        describe(file, function()
            for _, case in ipairs(dofile("spec/http/letter/" .. file .. ".lua")) do
                local name = case[1] .. (case.rfc and " (RFC " .. case.rfc .. ")" or "")
                for _, way in ipairs(ways) do
                    if (not way.split or #case.request <= SPLIT_MAX) and not (way.glued and case.unglued) then
                        it(name .. ", " .. way[1], function()
                            run(case.roomy and roomy or limited, case, way)
                        end)
                    end
                end
            end
        end)
    end
end)
