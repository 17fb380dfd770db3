local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("http/router.h")
local lib, str, text = core.lib, core.str, core.text

local EEXIST, EINVAL = 17, 22
local KINDS = { [0] = "text", "int", "number", "rest" }

local function new_router(routes)
    local router = ffi.gc(lib.router_new(), lib.router_free)
    for target, route in ipairs(routes or {}) do
        local method, pattern = route:match("^(%S+) (.*)$")
        assert.equal(0, lib.router_add(router, lib.router_method(str(method)), str(pattern), target, nil))
    end
    return router
end

local function match(router, method, path)
    local result, anchor = ffi.new("struct route_match"), str(path)
    local found = lib.router_match(router, lib.router_method(str(method)), anchor, result)
    assert.equal(found, result.target >= 0)
    local params = {}
    for i = 0, result.nparams - 1 do
        local param = result.params[i]
        local name = text(lib.router_param_name(router, result.target, i))
        params[name] = text(param.value)
        params[#params + 1] = KINDS[param.kind] .. (param.needs_decoding and "%" or "")
    end
    assert.equal(#path, tonumber(anchor.len)) -- the params borrow from it
    return result.target, params, result.allowed
end

local function target(router, path, method)
    return (match(router, method or "GET", path))
end

local function add(router, method, pattern, number)
    local why = ffi.new("const char *[1]")
    local err = lib.router_add(router, lib.router_method(str(method)), str(pattern), number or 1, why)
    return -err, why[0] ~= nil and ffi.string(why[0]) or nil
end

local function allow(bits)
    local out = ffi.new("char[64]")
    return ffi.string(out, lib.router_allow_text(bits, out))
end

describe("router", function()
    it("reports a path that no route covers", function()
        local router = new_router({ "GET /a" })
        local found, _, allowed = match(router, "GET", "/b")
        assert.equal(-1, found)
        assert.equal(0, allowed)
        assert.equal(-1, target(router, ""))
        assert.equal(-1, target(router, "*"))
        assert.equal(-1, target(router, "a"))
        assert.equal(-1, target(router, "/"))
    end)

    it("finds literals of every length", function()
        local routes = { "GET /" }
        for len = 1, 40 do
            routes[#routes + 1] = "GET /x/" .. ("ab"):rep(20):sub(1, len)
        end
        local router = new_router(routes)
        assert.equal(1, target(router, "/"))
        for len = 1, 40 do
            assert.equal(len + 1, target(router, "/x/" .. ("ab"):rep(20):sub(1, len)))
        end
        assert.equal(-1, target(router, "/x/" .. ("ab"):rep(20) .. "a"))
    end)

    it("keeps /a and /a/ apart", function()
        local router = new_router({ "GET /a", "GET /b/" })
        assert.equal(1, target(router, "/a"))
        assert.equal(-1, target(router, "/a/"))
        assert.equal(2, target(router, "/b/"))
        assert.equal(-1, target(router, "/b"))
        assert.equal(-1, target(router, "//b/"))
    end)

    it("hands out parameters with name, kind and raw value", function()
        local router = new_router({ "GET /u/{user}/posts/{id:int}", "GET /n/{x:number}", "GET /f/{path...}" })
        local found, params = match(router, "GET", "/u/J%C3%A9/posts/-7")
        assert.equal(1, found)
        assert.same({ "text%", "int", user = "J%C3%A9", id = "-7" }, params)
        found, params = match(router, "GET", "/n/2.5e-3")
        assert.equal(2, found)
        assert.same({ "number", x = "2.5e-3" }, params)
        found, params = match(router, "GET", "/f/a/b%2Fc")
        assert.equal(3, found)
        assert.same({ "rest%", path = "a/b%2Fc" }, params)
        found, params = match(router, "GET", "/f/")
        assert.equal(3, found)
        assert.same({ "rest", path = "" }, params)
        assert.equal(-1, target(router, "/f"))
    end)

    it("prefers literal, then int, number, text and rest", function()
        local router = new_router({
            "GET /a/{rest...}", "GET /a/{t}", "GET /a/{n:number}", "GET /a/{i:int}", "GET /a/7",
        })
        assert.equal(5, target(router, "/a/7"))
        assert.equal(4, target(router, "/a/8"))
        assert.equal(3, target(router, "/a/8.5"))
        assert.equal(2, target(router, "/a/x"))
        assert.equal(1, target(router, "/a/x/y"))
        assert.equal(1, target(router, "/a/"))
    end)

    it("takes back a choice that leads nowhere", function()
        local router = new_router({ "GET /a/b/c", "GET /a/{x}/d", "GET /{r...}", "GET /a/{i:int}/e" })
        assert.equal(2, target(router, "/a/b/d"))
        assert.equal(3, target(router, "/a/b/x"))
        local found, params = match(router, "GET", "/a/5/d")
        assert.equal(2, found)
        assert.same({ "text", x = "5" }, params)
        found, params = match(router, "GET", "/a/5/f")
        assert.equal(3, found)
        assert.same({ "rest", r = "a/5/f" }, params)
    end)

    it("never takes an empty segment for a parameter", function()
        local router = new_router({ "GET /a/{x}", "GET /a/{x}/b" })
        assert.equal(-1, target(router, "/a/"))
        assert.equal(-1, target(router, "/a//b"))
    end)

    it("accepts for int only what an int64 holds", function()
        local router = new_router({ "GET /{i:int}" })
        for _, good in ipairs({ "0", "-0", "007", "9223372036854775807", "-9223372036854775808" }) do
            assert.equal(1, target(router, "/" .. good))
        end
        for _, bad in ipairs({ "-", "+1", "1.0", "0x1", "9223372036854775808", "-9223372036854775809",
            "18446744073709551616", "1-", "" }) do
            assert.equal(-1, target(router, "/" .. bad))
        end
    end)

    it("accepts for number what Lua writes in decimal", function()
        local router = new_router({ "GET /{n:number}" })
        for _, good in ipairs({ "0", "-1", ".5", "5.", "1e3", "1E+3", "-2.5e-10" }) do
            assert.equal(1, target(router, "/" .. good))
            assert.is_number(tonumber(good))
        end
        for _, bad in ipairs({ "-", ".", "e3", "1e", "1e+", "0x10", "inf", "nan", "1.2.3", "1 " }) do
            assert.equal(-1, target(router, "/" .. bad))
        end
    end)

    it("compares after percent-decoding of unreserved characters only", function()
        local router = new_router({
            "GET /hello", "GET /a%2fb", "GET /a/b", "GET /grüße", "GET /x y", "GET /i/{n:int}",
        })
        assert.equal(1, target(router, "/%68ello"))
        assert.equal(1, target(router, "/%68%65%6C%6c%6F"))
        assert.equal(2, target(router, "/a%2Fb"))
        assert.equal(3, target(router, "/a/b"))
        assert.equal(-1, target(router, "/hello%"))
        assert.equal(-1, target(router, "/hell%6"))
        assert.equal(-1, target(router, "/%zzhello"))
        assert.equal(4, target(router, "/gr%c3%BC%C3%9fe"))
        assert.equal(4, target(router, "/grüße"))
        assert.equal(5, target(router, "/x%20y"))
        local found, params = match(router, "GET", "/i/%31%32")
        assert.equal(6, found)
        assert.same({ "int%", n = "%31%32" }, params)
    end)

    it("finds what clients leave unencoded in either spelling", function()
        local router = new_router({ "GET /a|b/{x}", "GET /{any}/{x}", "GET /caf\xc3\xa9" })
        assert.equal(1, target(router, "/a|b/c"))
        assert.equal(1, target(router, "/a%7cb/c"))
        assert.equal(2, target(router, "/a^b/c"))
        assert.equal(3, target(router, "/caf\xc3\xa9"))
    end)

    it("survives encoded paths longer than any pattern", function()
        local router = new_router({ "GET /{a}", "GET /x/{r...}" })
        assert.equal(1, target(router, "/" .. ("%41"):rep(5000)))
        assert.equal(2, target(router, "/%78/" .. ("%2f/"):rep(3000)))
        assert.equal(-1, target(router, "/y/" .. ("a/"):rep(5000)))
    end)

    it("tells a wrong method from a wrong path and lists the methods", function()
        local router = new_router({ "GET /a", "POST /a", "DELETE /a/{x}", "GET /a/b" })
        local found, _, allowed = match(router, "PUT", "/a")
        assert.equal(-1, found)
        assert.equal("GET, HEAD, POST, OPTIONS", allow(allowed))
        _, _, allowed = match(router, "PUT", "/a/b")
        assert.equal("GET, HEAD, DELETE, OPTIONS", allow(allowed))
        _, _, allowed = match(router, "BREW", "/a/c")
        assert.equal("DELETE, OPTIONS", allow(allowed))
        assert.equal("", allow(0))
        assert.is_true(#allow(0xFFFFFFFF) < 64)
    end)

    it("goes on to a less specific route when the method is missing", function()
        local router = new_router({ "GET /users/me", "DELETE /users/{id}", "* /users/{r...}" })
        assert.equal(1, target(router, "/users/me", "GET"))
        assert.equal(2, target(router, "/users/me", "DELETE"))
        assert.equal(3, target(router, "/users/me", "PATCH"))
        assert.equal(3, target(router, "/users/me", "PROPFIND"))
    end)

    it("answers HEAD by GET unless HEAD has its own route", function()
        local router = new_router({ "GET /a", "GET /b", "HEAD /b", "* /b" })
        assert.equal(1, target(router, "/a", "HEAD"))
        assert.equal(3, target(router, "/b", "HEAD"))
        assert.equal(4, target(router, "/b", "POST"))
    end)

    it("refuses a duplicate whatever its parameters are called", function()
        local router = new_router({ "GET /a/{x}/b", "GET /c" })
        assert.equal(EEXIST, (add(router, "GET", "/a/{y}/b", 9)))
        assert.equal(EEXIST, (add(router, "GET", "/c", 9)))
        assert.equal(EEXIST, (add(router, "GET", "/%63", 9)))
        assert.equal(0, (add(router, "POST", "/a/{y}/b", 9)))
        assert.equal(0, (add(router, "GET", "/a/{x:int}/b", 10)))
        assert.equal("x", text(lib.router_param_name(router, 1, 0)))
        assert.equal("y", text(lib.router_param_name(router, 9, 0)))
        assert.equal("", text(lib.router_param_name(router, 9, 1)))
        assert.equal("", text(lib.router_param_name(router, 4000, 0)))
    end)

    it("shares a target among methods when the names agree", function()
        local router = new_router()
        assert.equal(0, (add(router, "GET", "/{a}", 0)))
        assert.equal(0, (add(router, "POST", "/{a}", 0)))
        assert.equal(EINVAL, (add(router, "PUT", "/{b}", 0)))
        assert.equal(-1, target(router, "/x", "PUT"))
    end)

    it("says what is wrong with a pattern", function()
        local router = new_router()
        local many = {}
        for i = 1, 17 do
            many[i] = "/{p" .. i .. "}"
        end
        for pattern, expected in pairs({
            [""] = "begins with /", ["a"] = "begins with /", ["/a//b"] = "empty segment",
            ["/{}"] = "name", ["/{1a}"] = "name", ["/{a-b}"] = "name", ["/{:int}"] = "name",
            ["/{...}"] = "name", ["/{a:float}"] = "type", ["/{a:}"] = "type", ["/x{a}"] = "whole segment",
            ["/{a}x"] = "whole segment", ["/{a}{b}"] = "whole segment", ["/{a"] = "whole segment",
            ["/a}"] = "whole segment", ["/{"] = "whole segment", ["/{a...}/b"] = "last",
            ["/{a}/{a}"] = "same name", ["/a?b"] = "path only", ["/a#b"] = "path only",
            ["/a\0"] = "NUL", [table.concat(many)] = "16 parameters", ["/" .. ("a"):rep(1024)] = "1024",
        }) do
            local err, why = add(router, "GET", pattern)
            assert.equal(EINVAL, err, pattern)
            assert.truthy(why:find(expected, 1, true), pattern .. ": " .. why)
        end
        assert.equal(EINVAL, (add(router, "BREW", "/")))
        assert.equal(EINVAL, (add(router, "GET", "/", -1)))
        assert.equal(EINVAL, (add(router, "GET", "/", 65536)))
        assert.equal(0, (add(router, "GET", "/" .. ("a/"):rep(511), 65535)))
        assert.equal(0, (add(router, "GET", "/" .. ("é"):rep(511), 5)))
        assert.equal(65535, target(router, "/" .. ("a/"):rep(511)))
        assert.equal(5, target(router, "/" .. ("%C3%A9"):rep(511)))
    end)

    it("frees nothing when given nothing", function()
        lib.router_free(nil)
    end)
end)

-- The same rules, written the slow way: every route is tried, the most specific one wins.
local NAIVE = {}

local RANK = { literal = 1, int = 2, number = 3, text = 4, rest = 5 }

function NAIVE.split(path)
    local segments = {}
    for segment in (path:sub(2) .. "/"):gmatch("([^/]*)/") do
        segments[#segments + 1] = segment
    end
    return segments
end

function NAIVE.kind(part)
    if part:find("...", 1, true) then
        return "rest"
    end
    return part:sub(1, 1) ~= "{" and "literal" or part:match(":(%a+)}") or "text"
end

local function fits(kind, part, segment)
    if kind == "literal" then
        return part == segment
    elseif kind == "int" then
        return segment:find("^%-?%d+$") ~= nil
    elseif kind == "number" then
        return segment:find("^%-?%d+$") ~= nil or segment:find("^%-?%d+%.%d*$") ~= nil
    end
    return segment ~= ""
end

--- The rank of each segment as a string that compares, and the parameters; nil: does not match.
function NAIVE.match(pattern, path)
    local parts, segments = NAIVE.split(pattern), NAIVE.split(path)
    local ranks, values = {}, {}
    for i, part in ipairs(parts) do
        local kind = NAIVE.kind(part)
        ranks[i] = RANK[kind]
        if kind == "rest" then
            if #segments < i then
                return nil
            end
            values[#values + 1] = table.concat(segments, "/", i)
            return table.concat(ranks), values
        end
        if not segments[i] or not fits(kind, part, segments[i]) then
            return nil
        end
        if kind ~= "literal" then
            values[#values + 1] = segments[i]
        end
    end
    if #segments ~= #parts then
        return nil
    end
    return table.concat(ranks), values
end

describe("router, against a naive matcher", function()
    local seed = tonumber(os.getenv("SEED")) or os.time()
    local PARTS = { "a", "b", "ab", "7", "1.5", "{x}", "{x:int}", "{x:number}", "{x...}" }
    local SEGMENTS = { "a", "b", "ab", "7", "-8", "1.5", "zz", "" }

    local function random_path(list, max)
        local out = {}
        for i = 1, math.random(max) do
            out[i] = list[math.random(#list)]
        end
        return out
    end

    local function random_pattern()
        local parts = random_path(PARTS, 4)
        for i, part in ipairs(parts) do
            parts[i] = part:gsub("x", "p" .. i)
            if part == "{x...}" then
                return "/" .. table.concat(parts, "/", 1, i)
            end
        end
        return "/" .. table.concat(parts, "/")
    end

    it("agrees for random patterns and paths (seed " .. seed .. ")", function()
        math.randomseed(seed)
        for _ = 1, 60 do
            local routes, patterns = {}, {}
            for _ = 1, math.random(40) do
                local pattern = random_pattern()
                local shape = pattern:gsub("p%d", "p")
                if not patterns[shape] then
                    patterns[shape] = true
                    routes[#routes + 1] = "GET " .. pattern
                end
            end
            local router = new_router(routes)
            for _ = 1, 100 do
                local path = "/" .. table.concat(random_path(SEGMENTS, 5), "/")
                local best, expected, values = nil, -1, {}
                for number, route in ipairs(routes) do
                    local rank, found = NAIVE.match(route:sub(5), path)
                    if rank and (not best or rank < best) then
                        best, expected, values = rank, number, found
                    end
                end
                local result, anchor = ffi.new("struct route_match"), str(path)
                lib.router_match(router, 0, anchor, result)
                if expected ~= result.target then
                    assert.equal(expected, result.target, path .. "\n" .. table.concat(routes, "\n"))
                end
                for i, value in ipairs(values) do
                    assert.equal(value, text(result.params[i - 1].value))
                end
                assert.equal(#path, tonumber(anchor.len))
            end
        end
    end)
end)
