--- What Lua makes of fields that others write: dates, Retry-After, Location, the offers of a WebSocket, NO_PROXY. All
--- of it ends in linear time with a value of its kind, an answer that refuses, or nothing.
---
--- Input: a byte that says which, then the text; for Location a second line, the URL that was asked for.

local check = dofile("core/fuzz/check.lua")
local cron = require("moonloop.util.cron")
local date = require("moonloop.http.date")
local errors = require("moonloop.util.errors")
local handshake = require("moonloop.websocket.handshake")
local http_core = require("moonloop.core.http")
local proxies = require("moonloop.http.proxies")
local redirect = require("moonloop.http.redirect")
local retry = require("moonloop.http.retry")
local zone = require("moonloop.util.zone")

local claim = check.claim

local YEAR = 366 * 86400
local NOW = 1700000000

local function of_date(text)
    local seconds = date.parse(text)
    if not seconds then
        return
    end
    claim(seconds % 1 == 0 and seconds >= -400 * YEAR and seconds <= 8100 * YEAR, "a date out of bounds", text, seconds)
    if seconds >= 0 and seconds < 8000 * YEAR then
        local written = os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds)
        claim(date.parse(written) == seconds, "written and read it is another", text, written)
    end
end

local function of_retry_after(text)
    local seconds = retry.after({ headers = { ["retry-after"] = text, date = "Sun, 06 Nov 1994 08:49:37 GMT" } })
    claim(seconds == nil or seconds >= 0 and seconds == seconds, "a pause that is none", text, seconds)
end

local SECRETS = { "Authorization", "x", "cookie", "y", "Host", "a.example", "X-A", "z" }

local function of_location(text)
    local location, base = text:match("^([^\n]*)\n?(.*)$")
    local parts = http_core.parse(base)
    if not parts then
        return
    end
    local wanted = { method = "POST", url = base, body = "b", fields = SECRETS }
    local res = { status = 302, headers = { location = location }, close = function() end }
    local ok, following = pcall(redirect.follow, wanted, res)
    if not ok then
        claim(errors.is(following, "protocol"), "another error", tostring(following))
        return
    end
    local to = http_core.parse(following.url)
    claim(to and not to.userinfo, "it leads nowhere, or with a password", following.url)
    claim(following.method == "GET" and following.body == nil, "a POST that went on")
    local is_same = http_core.same_origin(base, following.url)
    claim(#following.fields == (is_same and #SECRETS or 2), "the wrong fields go along", base, following.url)
    claim(is_same or to.scheme ~= "http+unix", "from afar to a Unix socket", following.url)
end

local KEY = "dGhlIHNhbXBsZSBub25jZQ=="

local function of_offer(text)
    for _, name in ipairs({ "sec-websocket-extensions", "sec-websocket-protocol", "origin", "upgrade" }) do
        local headers = { upgrade = "websocket", ["sec-websocket-version"] = "13", ["sec-websocket-key"] = KEY }
        headers[name] = text
        local rules = { origins = "same", protocols = { "chat.v2", "chat.v1" } }
        local function header(field)
            return headers[field]
        end
        local ok, answer, protocol = pcall(handshake.answer, { method = "GET", host = "a.example" }, header, rules,
            true)
        if ok then
            for field, value in pairs(answer) do
                claim(not value:find("[%z\r\n]"), "a field that breaks out", field, value)
            end
            claim(protocol == nil or protocol == "chat.v1" or protocol == "chat.v2", "not ours", protocol)
        else
            claim(errors.is(answer, "abort") and (answer.status == 403 or answer.status == 426), "another error",
                tostring(answer))
        end
    end
end

local function of_no_proxy(text)
    local variables = { http_proxy = "http://proxy.example:3128", no_proxy = text }
    local rules = proxies.from_variables(function(name) return variables[name] end)
    for _, url in ipairs({ "http://a.example/", "http://10.1.2.3:80/", "http://[2001:db8::1]/" }) do
        local chosen = proxies.choose(rules, { url = url, method = "GET" })
        claim(chosen == nil or chosen == variables.http_proxy, "a proxy that nobody named", chosen)
    end
    claim(proxies.choose(rules, { url = "http://localhost/", method = "GET" }) == nil, "localhost through a proxy")
end

local utc = zone.from_rule("UTC0")

local function of_cron(text)
    local ok, line = pcall(cron.parse, text)
    if not ok then
        claim(type(line) == "string" and not line:find("core/fuzz", 1, true), "another error", tostring(line))
        return
    end
    local at = line:next(NOW, utc)
    claim(at == nil or at > NOW and at % 60 == 0 and at < NOW + 42 * YEAR, "a time that is none", text, at)
end

local OF = { of_date, of_retry_after, of_location, of_offer, of_no_proxy, of_cron }

return function(bytes)
    local input = check.input(bytes)
    local run = OF[input:number(#OF - 1) + 1]
    local text = input:rest()
    run(text)
    check.is_quick(text, run)
end
