require("spec.support.core").preload("moonloop.core.json")
local ffi = require("ffi")
local json = require("moonloop.json")
local errors = require("moonloop.util.errors")

local function decode_error(text)
    local ok, err = pcall(json.decode, text)
    assert.is_false(ok, "was accepted: " .. text)
    assert.is_true(errors.is(err, "json"))
    return err.message
end

local function encode_error(value)
    local ok, err = pcall(json.encode, value)
    assert.is_false(ok)
    assert.is_true(errors.is(err, "json"))
    return err.message
end

describe("json.decode", function()
    it("reads every kind of value", function()
        assert.same({ a = 1, b = "x", c = true, d = false, e = { 1, { f = 2 } } },
            json.decode('{"a":1,"b":"x","c":true,"d":false,"e":[1,{"f":2}]}'))
        assert.equal(json.null, json.decode(" null "))
        assert.equal("", json.decode('""'))
        assert.equal(true, json.decode("\t\r\ntrue\n"))
        assert.equal(1, json.decode("\239\187\1911"))
    end)

    it("reads numbers as the nearest double", function()
        for _, text in ipairs({ "0", "-0", "7", "-12", "1.5", "0.1", "1e3", "1E+3", "2.5e-7", "123456789012345678",
            "9007199254740993", "1.7976931348623157e308", "5e-324", "0.30000000000000004", "1e-400", "0e999999",
            "3.141592653589793238462643383279", "1" .. ("0"):rep(300), "0." .. ("0"):rep(600) .. "1",
            "18446744073709551615", "99999999999999999999", "8.5e22", "1e23", "0.000001" }) do
            assert.equal(tonumber(text), json.decode(text), text)
        end
        assert.equal(-math.huge, 1 / json.decode("-0"))
    end)

    it("refuses numbers that JSON does not know", function()
        for text, expected in pairs({
            ["01"] = "column 1: a number with a leading zero", ["-"] = "column 2: expected a digit",
            ["1."] = "column 3: expected a digit", [".5"] = "column 1: expected a value",
            ["1e"] = "column 3: expected a digit", ["1e+"] = "column 4: expected a digit",
            ["+1"] = "column 1: expected a value", ["1e999"] = "column 1: a number too large",
            ["NaN"] = "column 1: expected a value", ["Infinity"] = "expected a value",
            ["0x10"] = "column 2: expected the end", ["-01"] = "leading zero",
            ["1" .. ("0"):rep(700)] = "too large",
        }) do
            assert.truthy(decode_error(text):find(expected, 1, true), text .. ": " .. decode_error(text))
        end
    end)

    it("reads strings with escapes of every kind", function()
        assert.equal('"\\/\b\f\n\r\t', json.decode([["\"\\\/\b\f\n\r\t"]]))
        assert.equal("A\0é€😀", json.decode([["\u0041\u0000\u00e9\u20AC\ud83d\ude00"]]))
        assert.equal("Grüße 日本語 😀", json.decode('"Grüße 日本語 😀"'))
        for len = 0, 40 do
            local text = ("x"):rep(len)
            assert.equal(text .. "\n" .. text, json.decode('"' .. text .. "\\n" .. text .. '"'))
            assert.equal(text .. "é", json.decode('"' .. text .. 'é"'))
        end
        local long = ("ab\n"):rep(5000)
        assert.equal(long, json.decode('"' .. long:gsub("\n", "\\n") .. '"'))
    end)

    it("reads half a surrogate pair as U+FFFD", function()
        assert.equal("\239\191\189", json.decode([["\ud83d"]]))
        assert.equal("\239\191\189x", json.decode([["\ude00x"]]))
        assert.equal("\239\191\189A", json.decode([["\ud83d\u0041"]]))
        assert.equal("\239\191\189😀", json.decode([["\ud83d\ud83d\ude00"]]))
    end)

    it("says line, column and what it expected", function()
        for text, expected in pairs({
            ["{\n  \"a\": 1\n  \"b\": 2}"] = "json: line 3 column 3: expected ',' or '}'",
            ["[1 2]"] = "json: line 1 column 4: expected ',' or ']'",
            ["[1,]"] = "json: line 1 column 4: expected a value",
            ["{\"a\":1,}"] = "json: line 1 column 8: expected a name in quotes",
            ["{a:1}"] = "json: line 1 column 2: expected a name in quotes",
            ["{\"a\" 1}"] = "json: line 1 column 6: expected ':'",
            ["\"abc"] = "json: line 1 column 5: a string without its closing quote",
            ["\"abc\\"] = "json: line 1 column 6: a string without its closing quote",
            ["\"a\\x\""] = "json: line 1 column 3: an unknown escape",
            ["\"\\u12g4\""] = "json: line 1 column 2: \\u without four hexadecimal digits",
            ["\"a\tb\""] = "json: line 1 column 3: a control character in a string; escape it",
            ["\"abcdefgh\1\""] = "json: line 1 column 10: a control character in a string; escape it",
            ["[\n\"ab\255\"]"] = "json: line 2 column 4: invalid UTF-8",
            [""] = "json: line 1 column 1: expected a value, found the end",
            ["["] = "json: line 1 column 2: expected a value, found the end",
            ["[]x"] = "json: line 1 column 3: expected the end",
            ["tru"] = "json: line 1 column 1: expected a value",
            ["nul"] = "json: line 1 column 1: expected a value",
            ["'a'"] = "json: line 1 column 1: expected a value",
            ["1 // no"] = "json: line 1 column 3: expected the end",
        }) do
            assert.equal(expected, decode_error(text))
        end
    end)

    it("refuses invalid UTF-8 in names and values", function()
        for _, bytes in ipairs({ "\128", "\192\128", "\193\191", "\224\159\191", "\237\160\128", "\240\143\191\191",
            "\244\144\128\128", "\245\128\128\128", "\226\130", "\195" }) do
            assert.truthy(decode_error('["' .. bytes .. '"]'):find("invalid UTF-8", 1, true))
            assert.truthy(decode_error('{"' .. bytes .. '":1}'):find("invalid UTF-8", 1, true))
        end
    end)

    it("takes 100 levels and no more", function()
        assert.is_table(json.decode(("["):rep(100) .. ("]"):rep(100)))
        assert.is_table(json.decode(('{"a":'):rep(100) .. "1" .. ("}"):rep(100)))
        assert.equal("json: line 1 column 101: nested deeper than 100 levels",
            decode_error(("["):rep(101) .. ("]"):rep(101)))
        assert.truthy(decode_error(("["):rep(100000)):find("nested deeper", 1, true))
        local wide = "[" .. ("1,"):rep(40) .. ("["):rep(99) .. ("]"):rep(99) .. "]"
        assert.equal(41, #json.decode(wide))
    end)

    it("keeps order and count of long arrays and objects", function()
        for _, count in ipairs({ 0, 1, 15, 16, 17, 31, 32, 33, 64, 65, 1000 }) do
            local items, members = {}, {}
            for i = 1, count do
                items[i] = tostring(i)
                members[i] = ('"k%d":%d'):format(i, i)
            end
            local list = json.decode("[" .. table.concat(items, ",") .. "]")
            local map = json.decode("{" .. table.concat(members, ",") .. "}")
            assert.equal(count, #list)
            for i = 1, count do
                assert.equal(i, list[i])
                assert.equal(i, map["k" .. i])
            end
        end
    end)

    it("lets the last of several equal names win", function()
        assert.same({ a = 3, b = 1 }, json.decode('{"a":1,"b":1,"a":2,"a":3}'))
        local many = {}
        for i = 1, 50 do
            many[i] = ('"a":%d'):format(i)
        end
        assert.same({ a = 50 }, json.decode("{" .. table.concat(many, ",") .. "}"))
    end)

    it("is told from a string by the caller's bug", function()
        assert.has_error(function()
            json.decode(5)
        end, "json.decode: expected a string, got number")
    end)
end)

describe("json.encode", function()
    it("writes every kind of value", function()
        assert.equal("[1,2.5,true,false,null,\"x\"]", json.encode({ 1, 2.5, true, false, json.null, "x" }))
        assert.equal('{"a":{"b":[{}]}}', json.encode({ a = { b = { {} } } }))
        assert.equal("null", json.encode(nil))
        assert.equal('"x"', json.encode("x"))
    end)

    it("writes a short number that reads back the same", function()
        for value, expected in pairs({
            [0] = "0", [-1] = "-1", [0.1] = "0.1", [0.1 + 0.2] = "0.30000000000000004", [1 / 3] = "0.3333333333333333",
            [1e15] = "1000000000000000", [2 ^ 53] = "9007199254740992", [-2 ^ 53] = "-9007199254740992",
            [1e21] = "1e+21", [1e300] = "1e+300", [-12.25] = "-12.25", [5e-324] = "4.9406564584125e-324",
            [123456.789] = "123456.789", [0.05] = "0.05", [-0.000001] = "-1e-06", [99.99] = "99.99",
        }) do
            assert.equal(expected, json.encode(value))
            assert.equal(value, tonumber(json.encode(value)))
        end
        math.randomseed(4)
        for _ = 1, 5000 do
            local value = (math.random() - 0.5) * 10 ^ math.random(-12, 20)
            if math.random() < 0.5 then
                value = math.floor(value * 1000) / 1000
            end
            assert.equal(value, json.decode(json.encode(value)))
        end
    end)

    it("writes 64-bit integers by their digits", function()
        assert.equal("[9223372036854775807,-9223372036854775808,18446744073709551615]",
            json.encode({ 9223372036854775807LL, -9223372036854775807LL - 1, 18446744073709551615ULL }))
        assert.equal("json: a: cannot encode a cdata other than int64_t and uint64_t",
            encode_error({ a = ffi.new("int[2]") }))
    end)

    it("escapes what must be, and what could end a script element", function()
        assert.equal([["\"\\\b\f\n\r\t\u0000\u001f/]] .. '\127"', json.encode('"\\\b\f\n\r\t\0\31/\127'))
        assert.equal([["\u003c/script>\u003c!--<b"]], json.encode("</script><!--<b"))
        assert.equal('"<"', json.encode("<"))
        assert.equal("</script>", json.decode(json.encode("</script>")))
        assert.equal('"Grüße 日本語 😀"', json.encode("Grüße 日本語 😀"))
    end)

    it("replaces invalid UTF-8 by U+FFFD, so that the text is always valid", function()
        assert.equal('"a\239\191\189b"', json.encode("a\255b"))
        assert.equal('"\239\191\189\239\191\189"', json.encode("\195\195"))
        assert.equal('"é\239\191\189\239\191\189"', json.encode("é\226\130"))
        assert.equal('{"\239\191\189":1}', json.encode({ ["\128"] = 1 }))
    end)

    it("tells arrays from objects", function()
        assert.equal("{}", json.encode({}))
        assert.equal("[]", json.encode(json.array()))
        assert.equal("[]", json.encode(json.empty_array))
        assert.equal("{}", json.encode(json.object()))
        assert.equal('{"1":"a"}', json.encode(json.object({ "a" })))
        assert.equal('{"1.5":1}', json.encode(json.object({ [1.5] = 1 })))
        assert.equal('[[],{}]', json.encode(json.decode("[[],{}]")))
        assert.equal('{"a":1}', json.encode(setmetatable({ a = 1 }, { __index = error })))
        assert.equal("[]", json.encode(setmetatable({}, { __jsontype = "array" })))
        local list = json.decode("[1]")
        table.remove(list)
        assert.equal("[]", json.encode(list))
        assert.has_error(function()
            json.empty_array[1] = 1
        end)
        assert.has_error(function()
            json.array(setmetatable({}, {}))
        end, "json.array: the table has a metatable; give that a __jsontype field")
    end)

    it("fills a few holes with null and refuses many", function()
        assert.equal("[null,2]", json.encode({ [2] = 2 }))
        assert.equal("[1,null,3]", json.encode({ 1, nil, 3 }))
        assert.equal("[null,null,null,null,null,null,null,null,9]", json.encode({ [9] = 9 }))
        assert.equal("json: a: cannot encode an array with more holes than values; json.object allows it",
            encode_error({ a = { [1000000] = 1 } }))
        local backwards = {}
        for i = 100, 1, -1 do
            backwards[i] = i
        end
        assert.equal(100, #json.decode(json.encode(backwards)))
    end)

    it("names the way to what it cannot encode", function()
        assert.equal("json: items[3].user: cannot encode a function",
            encode_error({ items = { 1, 2, { user = print } } }))
        assert.equal("json: cannot encode a function", encode_error(print))
        assert.equal("json: [2]: cannot encode a thread", encode_error({ 1, coroutine.create(print) }))
        assert.equal("json: a: cannot encode a userdata", encode_error({ a = newproxy() }))
        assert.equal("json: a.b: cannot encode nan", encode_error({ a = { b = 0 / 0 } }))
        assert.equal("json: [1]: cannot encode an infinite number", encode_error({ -math.huge }))
        assert.equal("json: cannot encode a table that has both indexes and names", encode_error({ 1, a = 2 }))
        assert.equal("json: x: cannot encode a boolean as a name", encode_error({ x = { [true] = 1 } }))
        assert.equal("json: cannot encode a number as a name; json.object allows it", encode_error({ [0] = 1 }))
        assert.equal("json: cannot encode a number as a name; json.object allows it", encode_error({ [1.5] = 1 }))
    end)

    it("takes 100 levels, and finds cycles that way", function()
        local function nest(levels)
            local value = {}
            for _ = 2, levels do
                value = { value }
            end
            return value
        end
        assert.is_string(json.encode(nest(100)))
        assert.truthy(encode_error(nest(101)):find("nested deeper than 100", 1, true))
        local cycle = {}
        cycle.self = cycle
        local message = encode_error(cycle)
        assert.truthy(message:find("^json: self%.self"))
        assert.truthy(message:find("contains itself", 1, true))
        assert.is_true(#message < 400)
        local chain = setmetatable({}, {})
        getmetatable(chain).__tojson = function(value)
            return value
        end
        assert.truthy(encode_error(chain):find("nested deeper", 1, true))
    end)

    it("asks __tojson for a value to encode instead", function()
        local date = { __tojson = function(value)
            return value.iso
        end }
        assert.equal('{"at":"2026-01-01"}', json.encode({ at = setmetatable({ iso = "2026-01-01" }, date) }))
        local nested = { __tojson = function()
            return json.encode({ 1, 2 })
        end }
        assert.equal('["x","[1,2]","y"]', json.encode({ "x", setmetatable({}, nested), "y" }))
        local broken = { __tojson = function()
            pcall(json.encode, { print })
            error("no way", 0)
        end }
        local ok, err = pcall(json.encode, { "x", setmetatable({}, broken) })
        assert.is_false(ok)
        assert.equal("no way", err)
        assert.equal("[1]", json.encode({ 1 }))
        local user = newproxy(true)
        getmetatable(user).__tojson = function()
            return { 5 }
        end
        assert.equal('{"u":[5]}', json.encode({ u = user }))
    end)

    it("indents with pretty", function()
        assert.equal('{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ]\n}',
            json.encode({ a = { 1, { b = 2 } } }, { pretty = true }))
        assert.equal("[]", json.encode(json.array(), { pretty = true }))
        assert.equal("{}", json.encode({}, { pretty = true }))
    end)

    it("gives back what it was given, for random values (seed in the name)", function()
        local seed = tonumber(os.getenv("SEED")) or os.time()
        math.randomseed(seed)
        local function random_value(depth)
            local kind = math.random(depth > 0 and 7 or 5)
            if kind == 1 then
                return math.random() < 0.5
            elseif kind == 2 then
                return math.random(-1000, 1000)
            elseif kind == 3 then
                return math.random() * 10 ^ math.random(-20, 20)
            elseif kind <= 5 then
                local out = {}
                for i = 1, math.random(0, 20) do
                    out[i] = string.char(math.random(0, 127))
                end
                return table.concat(out)
            end
            local out = kind == 6 and json.array() or {}
            for i = 1, math.random(0, 40) do
                out[kind == 6 and i or "k" .. math.random(1000)] = random_value(depth - 1)
            end
            return out
        end
        for _ = 1, 100 do
            local value = random_value(3)
            local text = json.encode(value)
            assert.same(value, json.decode(text), "seed " .. seed)
            assert.same(value, json.decode(json.encode(value, { pretty = true })), "seed " .. seed)
        end
    end)

    it("never crashes on damaged text", function()
        local seed = tonumber(os.getenv("SEED")) or os.time()
        math.randomseed(seed)
        local text = '{"a":[1,-2.5e3,"x\\u00e9\\n",{"b":null,"c":[true,false]}],"d":"Grüße"}'
        for _ = 1, 5000 do
            local at = math.random(#text)
            local damaged = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + math.random(0, 2))
            local ok, err = pcall(json.decode, damaged)
            assert.is_true(ok or errors.is(err, "json"), "seed " .. seed)
        end
    end)
end)
