--- Which of several servers is next. Each way of choosing takes the servers and gives a function that names one of
--- those for which `can_take(server)` is true, or nil.

local bit = require("bit")

local M = {}

---@class moonloop.proxy.Server
---@field url string without a slash at the end
---@field weight integer
---@field active integer requests that it has now

---@alias moonloop.proxy.Choice fun(can_take: (fun(server: moonloop.proxy.Server): boolean), req: moonloop.Request?):
---  moonloop.proxy.Server?

---In turn; a server of weight 3 comes three times as often, spread evenly (as nginx does it).
---@param servers moonloop.proxy.Server[]
---@return moonloop.proxy.Choice
function M.round_robin(servers)
    local current = {}
    for i in ipairs(servers) do
        current[i] = 0
    end
    return function(can_take)
        local best, total = nil, 0
        for i, server in ipairs(servers) do
            if can_take(server) then
                current[i] = current[i] + server.weight
                total = total + server.weight
                if not best or current[i] > current[best] then
                    best = i
                end
            end
        end
        if not best then
            return nil
        end
        current[best] = current[best] - total
        return servers[best]
    end
end

---The one with the fewest requests under way for its weight; among equals in turn.
---@param servers moonloop.proxy.Server[]
---@return moonloop.proxy.Choice
function M.least_connections(servers)
    local first = 0
    return function(can_take)
        local best
        for i = 1, #servers do
            local server = servers[(first + i - 1) % #servers + 1]
            if can_take(server)
                and (not best or server.active * best.weight < best.active * server.weight) then
                best = server
            end
        end
        first = first + 1
        return best
    end
end

local POINTS = 64 -- on the circle, for each unit of weight

---FNV-1a, then the finalizer of MurmurHash3: texts that differ in the last byte lie far apart.
local function hash(text)
    local h = -2128831035
    for i = 1, #text do
        h = bit.bxor(h, text:byte(i))
        h = bit.tobit(h + bit.lshift(h, 1) + bit.lshift(h, 4) + bit.lshift(h, 7) + bit.lshift(h, 8)
            + bit.lshift(h, 24))
    end
    h = bit.bxor(h, bit.rshift(h, 16))
    h = bit.tobit(bit.band(h, 0xffff) * 0x85ebca6b % 2 ^ 32 + bit.lshift(bit.rshift(h, 16) * 0xca6b % 2 ^ 16, 16))
    return bit.bxor(h, bit.rshift(h, 13)) % 2 ^ 32
end

local function circle_of(servers)
    local circle = {}
    for _, server in ipairs(servers) do
        for i = 1, POINTS * server.weight do
            circle[#circle + 1] = { at = hash(("%s#%d"):format(server.url, i)), server = server }
        end
    end
    table.sort(circle, function(a, b)
        if a.at ~= b.at then
            return a.at < b.at
        end
        return a.server.url < b.server.url
    end)
    return circle
end

---The place of the first point at or behind `at`.
local function find(circle, at)
    local low, high = 1, #circle
    if circle[high].at < at then
        return 1
    end
    while low < high do
        local middle = math.floor((low + high) / 2)
        if circle[middle].at < at then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

---The same server for the same key, as long as it is there; when one comes or goes, only its share of the keys moves.
---@param servers moonloop.proxy.Server[]
---@param key_of fun(req: moonloop.Request): any
---@return moonloop.proxy.Choice
function M.hash(servers, key_of)
    local circle = circle_of(servers)
    return function(can_take, req)
        local start = find(circle, hash(tostring(key_of(req))))
        for i = 0, #circle - 1 do
            local server = circle[(start + i - 1) % #circle + 1].server
            if can_take(server) then
                return server
            end
        end
    end
end

return M
