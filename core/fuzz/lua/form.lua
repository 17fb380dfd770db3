--- Query strings and urlencoded forms, written by the client and read by the server: any names and values come back
--- in their order, whatever bytes they have; what anybody else writes is read without losing a byte's meaning, so that
--- writing it again and reading that gives the same.
---
--- Input: any text, read as a query string.

local check = dofile("core/fuzz/check.lua")
local client = require("moonloop.core.http")
local form = require("moonloop.http.form")
local server = require("moonloop.core.request")

local claim = check.claim

local function pairs_of(list)
    local all = {}
    for i = 1, #list, 2 do
        all[#all + 1] = { list[i], list[i + 1] }
    end
    return all
end

local function check_same(list, again, text)
    claim(#list == #again, "so many names and values: ", #list, #again, text)
    for i = 1, #list do
        claim(list[i] == again[i], "it comes back as something else", list[i], again[i], text)
    end
end

---Encoded, nothing is left that could end a value, a query string or a request line.
local function check_clean(text)
    claim(not text:find("[^%w%-._~%%+&=*]"), "something was not encoded", text)
    claim(not text:find("%%%X") and not text:find("%%%x%X") and not text:find("%%%x?$"), "half a byte", text)
end

local function check_bytes(bytes)
    local name, value = bytes:match("^([^\n]*)\n?(.*)$")
    local text = form.encode({ { name, value }, { value, name } }, "form")
    check_clean(text)
    local list = server.pairs(text)
    local expected = {}
    for _, pair in ipairs({ { name, value }, { value, name } }) do
        expected[#expected + 1], expected[#expected + 2] = pair[1], pair[2]
    end
    check_same(expected, list, text)
    claim(client.decode(client.encode(bytes):gsub("+", "%%20")) == bytes, "percent-encoding loses something", bytes)
end

return function(bytes)
    local list = server.pairs(bytes)
    claim(#list % 2 == 0, "a name without a value", #list)
    local text = form.encode(pairs_of(list), "query")
    check_clean(text)
    check_same(list, server.pairs(text), text)
    check_bytes(bytes)
    check.is_quick(bytes, function(long)
        form.encode(pairs_of(server.pairs(long)), "query")
    end)
end
