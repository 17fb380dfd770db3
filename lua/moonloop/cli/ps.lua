--- `moonloop ps`: what the workers have told, as a table.

local columns = require("moonloop.cli.columns")

local M = {}

local HEAD = { "WORKER", "PID", "KIND", "NAME", "STATE", "SINCE", "RUNS", "NEXT", "DETAIL" }
local IS_RIGHT = { true, true, [6] = true, [7] = true, [8] = true }
local STEPS = { { 172800, 86400, "d" }, { 7200, 3600, "h" }, { 120, 60, "min" } }

---"12 s", "3 min", "2 h", "5 d": as exact as one wants to know.
local function show_seconds(seconds)
    seconds = math.max(seconds, 0)
    for _, step in ipairs(STEPS) do
        if seconds >= step[1] then
            return ("%d %s"):format(math.floor(seconds / step[2]), step[3])
        end
    end
    return ("%d s"):format(math.floor(seconds))
end

local function is_number(value)
    return type(value) == "number"
end

---Names come from apps: nothing in them shall move the cursor.
local function cell(value)
    local text = type(value) == "string" and value:gsub("%c", "?") or ""
    return text == "" and "-" or text
end

local function name_of(activity)
    local name = activity.name
    if activity.app and activity.app ~= name then
        name = activity.app .. ": " .. name
    end
    return is_number(activity.count) and activity.count > 1 and ("%s ×%d"):format(name, activity.count) or name
end

local function detail_of(activity)
    local detail = activity.detail or ""
    if type(activity.from) == "string" then
        detail = (detail == "" and "" or detail .. ", ") .. "from " .. activity.from
    end
    if is_number(activity.old_generation) then
        detail = (detail == "" and "" or detail .. ", ") .. "of generation " .. activity.old_generation
    end
    return detail
end

local function activity_row(worker, activity, now)
    return {
        tostring(worker.worker), tostring(worker.pid), cell(activity.kind), cell(name_of(activity)),
        cell(activity.state), is_number(activity.since) and show_seconds(now - activity.since) or "-",
        is_number(activity.runs) and ("%d"):format(activity.runs) or "-",
        is_number(activity.next_run) and "in " .. show_seconds(activity.next_run - now) or "-",
        (cell(detail_of(activity)):gsub("^%-$", "")),
    }
end

local function worker_row(worker)
    local detail = worker.doing ~= "no route" and cell(worker.doing) or ""
    if not worker.answered then
        detail = worker.state == "booting" and "loads its first code"
            or ("no answer: its loop has been held for %.1f s; %s"):format(worker.beat_age, cell(worker.doing))
    end
    return {
        tostring(worker.worker), tostring(worker.pid), "worker", "-", worker.state, show_seconds(worker.uptime),
        ("%d"):format(worker.requests), "-", detail,
    }
end

---@param workers table[] what the server has answered
---@param now number Unix time in seconds
---@return string
function M.table(workers, now)
    local rows = { HEAD }
    table.sort(workers, function(a, b)
        return a.worker < b.worker or (a.worker == b.worker and a.pid < b.pid)
    end)
    for _, worker in ipairs(workers) do
        rows[#rows + 1] = worker_row(worker)
        for _, activity in ipairs(worker.activities) do
            rows[#rows + 1] = activity_row(worker, activity, now)
        end
    end
    return columns.align(rows, IS_RIGHT)
end

---@param answer string JSON
---@return string
function M.render(answer)
    return M.table(require("moonloop.json").decode(answer), os.time())
end

return M
