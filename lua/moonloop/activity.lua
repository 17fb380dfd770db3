--- What this VM has under way, for `moonloop ps`: whoever keeps something that lasts (background tasks, timers,
--- pools, subscriptions) registers a function that lists it.

local M = {}

local listers = {}

---@class moonloop.Activity one line of `moonloop ps`
---@field kind string "background", "every", "cron", "after", "pool", "topic", "lock", "process"
---@field name string
---@field app? string
---@field state string "running", "waiting", "stopped", "elsewhere" and the like
---@field runs? integer how often it has begun
---@field since? number Unix time in seconds of when the present run began
---@field next_run? number Unix time in seconds
---@field detail? string what else is worth a look: the last error, how long a queue is

---Adds a source of lines. Once per kind; a later one replaces it.
---@param kind string
---@param list fun(): moonloop.Activity[] must not wait
function M.register(kind, list)
    listers[kind] = list
end

---All that is under way now, by kind, then name.
---@return moonloop.Activity[]
function M.list()
    local rows = {}
    for _, list in pairs(listers) do
        for _, row in ipairs(list()) do
            rows[#rows + 1] = row
        end
    end
    table.sort(rows, function(a, b)
        if a.kind ~= b.kind then
            return a.kind < b.kind
        end
        return (a.app or "") .. a.name < (b.app or "") .. b.name
    end)
    return rows
end

return M
