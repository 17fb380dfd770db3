--- What this VM has under way, for `moonloop ps`: whoever keeps something that lasts (background tasks, timers,
--- pools, subscriptions) registers a function that lists it.

local core = require("moonloop.core.activity")

local M = {}

local MAX_TASKS, MAX_LINES = 10000, 1000

local listers = {}

---@class moonloop.Activity one line of `moonloop ps`
---@field kind string "background", "every", "cron", "after", "pool", "topic", "lock", "process"
---@field name string
---@field app? string
---@field state string "running", "waiting", "stopped", "elsewhere" and the like
---@field runs? integer how often it has begun
---@field since? number Unix time in seconds of when the present run began
---@field next_run? number Unix time in seconds
---@field label? string what the core calls its jobs; default: kind and name
---@field from? string the address of the client, of a request
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

-- ---- for the server ----

---Where a task waits, and for whom it works.
local function detail_of(task)
    local parts = {}
    if task.where and task.where ~= task.name then
        parts[1] = "at " .. task.where:gsub("in %(for generator%)$", "in for")
    end
    parts[#parts + 1] = task.of and "for " .. task.of
    return #parts > 0 and table.concat(parts, ", ") or nil
end

---The tasks. A job that is among what was listed lends its place there where it waits; what makes timers tick is
---not told.
---@param listed moonloop.Activity[]
local function list_tasks(listed)
    local rows, lines = {}, {}
    for _, row in ipairs(listed) do
        lines[row.label or row.kind .. " " .. row.name] = row
    end
    local tasks, left = core.tasks(MAX_TASKS)
    for _, task in ipairs(tasks) do
        local line = task.kind == "job" and lines[task.name]
        if line then
            line.detail = line.detail or detail_of(task)
        elseif task.kind ~= "helper" then
            task.detail = detail_of(task)
            rows[#rows + 1] = task
        end
    end
    if left > 0 then
        local name = ("(beyond the first %d)"):format(MAX_TASKS)
        rows[#rows + 1] = { kind = "task", name = name, state = "", count = left }
    end
    return rows
end

---Of several clients their number, as `from`.
local function add_client(first, from)
    if not from or first.from == from then
        return
    end
    first.clients = first.clients or { [first.from] = true, count = 1 }
    if not first.clients[from] then
        first.clients[from] = true
        first.clients.count = first.clients.count + 1
    end
end

---Equal lines become one, with a count, the sum of the runs and the oldest `since`.
local function collapse(kept, known, rows)
    for _, row in ipairs(rows) do
        local key = table.concat({ row.kind, row.name, row.app or "", row.state, row.detail or "", row.next_run or "" },
            "\0")
        local first = known[key]
        if first then
            first.count = (first.count or 1) + (row.count or 1)
            add_client(first, row.from)
            first.runs = first.runs and first.runs + (row.runs or 0)
            first.since = math.min(first.since or math.huge, row.since or math.huge)
            first.since = first.since < math.huge and first.since or nil
        else
            known[key] = row
            kept[#kept + 1] = row
        end
    end
end

local function encode(row, old_generation)
    local json = require("moonloop.json")
    local copy = {
        kind = row.kind, name = row.name, app = row.app, state = row.state, runs = row.runs, since = row.since,
        next_run = row.next_run, detail = row.detail, count = row.count, old_generation = old_generation,
        from = row.clients and row.clients.count .. " addresses" or row.from,
    }
    local ok, text = pcall(json.encode, copy)
    if ok then
        return text
    end
    for key, value in pairs(copy) do -- a name that is no UTF-8, a number that is none
        if type(value) == "string" then
            copy[key] = value:gsub("[\128-\255]", "?")
        elseif value ~= value or value == math.huge or value == -math.huge then
            copy[key] = nil
        end
    end
    return json.encode(copy)
end

---What `moonloop ps` shows of this VM.
---@param old_generation? integer its generation, when it is no longer the current one
---@return string json objects, separated by commas
function M.report(old_generation)
    local listed, rows, known, texts = M.list(), {}, {}, {}
    collapse(rows, known, list_tasks(listed))
    collapse(rows, known, listed)
    for i = 1, math.min(#rows, MAX_LINES) do
        texts[i] = encode(rows[i], old_generation)
    end
    if #rows > MAX_LINES then
        texts[#texts + 1] = encode({
            kind = "more", name = ("%d lines are not shown"):format(#rows - MAX_LINES), state = "",
        }, old_generation)
    end
    return table.concat(texts, ",")
end

return M
