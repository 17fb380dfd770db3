--- What decoding and encoding a typical object of about 1 KB costs, beside lua-cjson.
--- Run from the root: cmake --build build --target core_so && luajit bench/micro/json.lua
package.path = "./?.lua;./lua/?.lua;" .. package.path
require("spec.support.core").preload("moonloop.core.json")
local json = require("moonloop.json")
local cjson = require("cjson")

local ROUNDS = 60000

local text = [[{"id":184467,"name":"Ada Lovelace","email":"ada@example.com","active":true,"score":98.6,
"address":{"street":"12 St James's Square","city":"London","zip":"SW1Y 4JH","geo":{"lat":51.5074,"lon":-0.1278}},
"tags":["mathematics","poetry","engines","analysis"],"manager":null,
"bio":"Wrote the first \"program\" for a machine that was never built.\nAlso known for her notes.",
"orders":[{"sku":"A-100","quantity":2,"price":19.99},{"sku":"B-205","quantity":1,"price":5.49},
{"sku":"C-777","quantity":12,"price":0.75},{"sku":"D-001","quantity":3,"price":149.0}],
"history":[1609459200,1612137600,1614556800,1617235200,1619827200,1622505600,1625097600],
"settings":{"theme":"dark","language":"en","notifications":{"email":true,"push":false,"sms":false}},
"permissions":["read","write","admin"],"unicode":"Grüße aus Köln, 日本語",
"created":"2021-01-01T00:00:00Z",
"updated":"2024-06-30T23:59:59Z",
"visits":10482,"ratio":0.333333333333,"note":"Lorem ipsum dolor sit amet, consectetur"}]]

local function measure(fn, value)
    local best = math.huge
    for _ = 1, 5 do
        collectgarbage()
        local start = os.clock()
        for _ = 1, ROUNDS do
            fn(value)
        end
        best = math.min(best, (os.clock() - start) / ROUNDS * 1e6)
    end
    return best
end

local function first_line(command)
    local pipe = io.popen(command .. " 2>/dev/null")
    local line = pipe:read("*l") or "?"
    pipe:close()
    return line
end

print("machine: " .. first_line("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2"))
print("commit:  " .. first_line("git rev-parse --short HEAD") .. ", " .. #text .. " bytes")
print(("%-10s %10s %10s %8s"):format("us a call", "cjson", "moonloop", "ratio"))
local value = cjson.decode(text)
for _, case in ipairs({
    { "decode", cjson.decode, json.decode, text },
    { "encode", cjson.encode, json.encode, value },
}) do
    local theirs, ours = measure(case[2], case[4]), measure(case[3], case[4])
    print(("%-10s %10.2f %10.2f %8.2f"):format(case[1], theirs, ours, ours / theirs))
end
