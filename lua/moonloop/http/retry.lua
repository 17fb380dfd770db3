--- Requests that are sent again after a failure, or after an answer that asks for patience. The loop with its pauses
--- is moonloop.retry's.

local clock = require("moonloop.clock")
local date = require("moonloop.http.date")
local options = require("moonloop.http.options")
local retry = require("moonloop.sync.retry")

local misuse = options.misuse

local M = {}

local OPTIONS = { attempts = "number", on = "table", delay = "number", max_delay = "number", methods = "table" }
local SECONDS_MAX = 86400
local DEFAULT_ON = { 429, 502, 503, 504, "refused", "closed", "dns" }
-- RFC 9110, 9.2.2: twice is as good as once.
local DEFAULT_METHODS = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" }

---@class moonloop.http.RetryOptions
---@field attempts? integer the first one included; 3
---@field on? (integer|string)[] statuses and codes of errors; 429, 502, 503, 504, "refused", "closed", "dns"
---@field delay? number seconds before the second attempt; each pause is twice the one before, less chance; 0.2
---@field max_delay? number seconds; an answer that asks for more with Retry-After is the last; 30
---@field methods? string[] that are sent again; those that are idempotent

---@class moonloop.http.RetryPolicy
---@field attempts integer
---@field delay number
---@field max_delay number
---@field on table<integer|string, boolean>
---@field methods table<string, boolean>

local function seconds(given, name, default)
    local value = given[name] == nil and default or given[name]
    if not (value >= 0 and value <= SECONDS_MAX) then
        misuse("http: retries.%s: expected seconds, 0 to %d", name, SECONDS_MAX)
    end
    return value
end

local function set_of(name, list, is_good, expected)
    local set = {}
    for i, each in ipairs(list) do
        if not is_good(each) then
            misuse("http: retries.%s: item %d: expected %s, got %s", name, i, expected, tostring(each))
        end
        set[each] = true
    end
    if next(set) == nil then
        misuse("http: retries.%s: expected a list of %s", name, expected)
    end
    return set
end

--- What a request may fail with and be sent again for; a misspelt one would never match.
local CODES = {
    full = true, dns = true, refused = true, tls = true, closed = true, protocol = true, too_large = true,
    timeout = true, body = true, file = true,
}

local function is_reason(value)
    return type(value) == "number" and value >= 300 and value <= 599 and value % 1 == 0 or CODES[value] or false
end

local function is_method(value)
    return type(value) == "string" and value == value:upper()
end

---@param given nil|integer|false|moonloop.http.RetryOptions how often again, or all of it
---@return moonloop.http.RetryPolicy? nil: never
function M.policy(given)
    if type(given) == "number" then
        given = { attempts = given + 1 }
    elseif not given then
        return nil
    elseif given == true then
        misuse("http: option retries: expected a number, a table or false")
    end
    options.check(given, OPTIONS, "http: retries")
    local attempts = given.attempts or 3
    if not (attempts >= 1 and attempts <= 1000 and attempts % 1 == 0) then
        misuse("http: option retries: expected how often, 0 to 999")
    elseif attempts == 1 then
        return nil
    end
    return {
        attempts = attempts, delay = seconds(given, "delay", 0.2), max_delay = seconds(given, "max_delay", 30),
        on = set_of("on", given.on or DEFAULT_ON, is_reason, "statuses from 300 to 599 and codes of errors"),
        methods = set_of("methods", given.methods or DEFAULT_METHODS, is_method, "methods in capitals"),
    }
end

---Seconds that an answer asks to wait (RFC 9110, 10.2.3); a date counts from the server's own clock where it says one.
---@param res moonloop.http.Response
---@return number? seconds nil: it does not, or nobody can read it
function M.after(res)
    local text = res.headers["retry-after"]
    if not text then
        return nil
    elseif text:find("^%d+$") then
        return tonumber(text)
    end
    local wall = clock.wall()
    local at = date.parse(text, wall)
    local now = res.headers.date and date.parse(res.headers.date, wall) or wall
    return at and math.max(at - now, 0)
end

---An answer that is worth another attempt travels as an error through the loop.
---@class moonloop.http.Unsatisfied
---@field res moonloop.http.Response
---@field retry_after? number

local function res_of(err)
    return type(err) == "table" and rawget(err, "res") or nil
end

---Runs `exchange` until its answer is a good one, or there is no sense in another attempt: what then comes back, or is
---raised, is what the last one gave.
---@param policy moonloop.http.RetryPolicy
---@param wanted moonloop.http.Wanted
---@param deadline? number no pause ends later
---@param exchange fun(): moonloop.http.Response
---@return moonloop.http.Response
function M.run(policy, wanted, deadline, exchange)
    if not policy.methods[wanted.method] then
        return exchange()
    end
    local function can_send_again()
        return not wanted.source or wanted.source:can_reopen()
    end
    local plan = {
        times = policy.attempts, pause = policy.delay, max_pause = policy.max_delay, factor = 2, jitter = 0.5,
        ends_at = deadline,
        is_worth_it = function(err)
            if not can_send_again() then
                return false
            elseif res_of(err) then
                return (err.retry_after or 0) <= policy.max_delay
            end
            return type(err) == "table" and policy.on[rawget(err, "code")] or false
        end,
        before_pause = function(err)
            if res_of(err) then
                err.res:close()
            end
        end,
    }
    local ok, result = pcall(retry.run, plan, function(number)
        local res = exchange()
        res.tries = number
        if policy.on[res.status] and number < policy.attempts then
            error({ res = res, retry_after = M.after(res) }, 0)
        end
        return res
    end)
    if ok or res_of(result) then
        return ok and result or result.res
    end
    error(result, 0)
end

return M
