--- What the HTTP client has under way, for `moonloop ps`: connections by origin, lookups of names.

local activity = require("moonloop.activity")
local core = require("moonloop.core.http")

local M = {}

local function list_origins(clients)
    local rows = {}
    for client in pairs(clients) do
        for _, origin in ipairs(core.origins(client.pool)) do
            rows[#rows + 1] = {
                kind = "http", name = origin.name, state = origin.connections > origin.idle and "busy" or "idle",
                detail = ("%d connections, %d idle, %d waiting"):format(origin.connections, origin.idle,
                    origin.waiting),
            }
        end
    end
    return rows
end

local function list_lookups()
    local rows = {}
    for _, resolver in ipairs(core.resolvers()) do
        if resolver.lookups > 0 then
            rows[#rows + 1] = {
                kind = "dns", name = resolver.servers, state = resolver.asking > 0 and "asking" or "idle",
                detail = ("%d names known, %d asked for now; so far %d lookups, %d answers from memory"):format(
                    resolver.known, resolver.asking, resolver.lookups, resolver.remembered),
            }
        end
    end
    return rows
end

---@param clients table<moonloop.http.Client, true> those that there are; weak
function M.register(clients)
    activity.register("http", function()
        return list_origins(clients)
    end)
    activity.register("dns", list_lookups)
end

return M
