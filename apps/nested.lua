--- Ten requests at once, each with seven sub-tasks, in processes times threads. Both are bounded: two processes,
--- at most four threads in each; what does not fit waits. Starting a process for each request and a thread for
--- each sub-task would make ten processes and seventy threads.
---
---     curl localhost:8080/nested/              ten at once, as one timeline of seventy sub-tasks
---     curl localhost:8080/nested/3             one of them, as JSON

local moonloop = require("moonloop")
local blocking_sleep = require("blocking_sleep")
local whereabouts = require("whereabouts")
local app = moonloop.app()

local PROCESSES, THREADS, REQUESTS, SUB_TASKS = 2, 4, 10, 7
local COLUMNS = 60

local pool = moonloop.pool({ kind = "process", size = PROCESSES, queue = 100, name = "nested" })

--- In a thread of a process. It blocks, as code does that knows nothing of event loops.
local function sub_task(number)
    local from = moonloop.now()
    blocking_sleep(0.02)
    return {
        number = number, process = whereabouts.process(), thread = whereabouts.thread(),
        from = from, to = moonloop.now(),
    }
end

--- In a process.
local function work(request)
    local numbers = {}
    for i = 1, SUB_TASKS do
        numbers[i] = i
    end
    local parts = moonloop.offload_map(numbers, sub_task, { limit = THREADS })
    for _, part in ipairs(parts) do
        part.request = request
    end
    return parts
end

app:get("/{request:int}", function(req)
    return pool:run(work, req.params.request)
end)

local function line_of(part, first, seconds)
    local column = math.floor((part.from - first) / seconds * COLUMNS)
    local width = math.max(1, math.floor((part.to - part.from) / seconds * COLUMNS))
    return ("request %2d, sub-task %d, process %d, thread %d  |%s%s"):format(part.request, part.number, part.process,
        part.thread, (" "):rep(column), ("="):rep(width))
end

app:get("/", function()
    local requests, parts = {}, {}
    for i = 1, REQUESTS do
        requests[i] = i
    end
    for _, some in ipairs(moonloop.map(requests, function(request) return pool:run(work, request) end)) do
        for _, part in ipairs(some) do
            parts[#parts + 1] = part
        end
    end
    table.sort(parts, function(a, b) return a.from < b.from end)
    local first, last, lines = parts[1].from, 0, {}
    for _, part in ipairs(parts) do
        last = math.max(last, part.to)
    end
    for i, part in ipairs(parts) do
        lines[i] = line_of(part, first, last - first)
    end
    return table.concat(lines, "\n") .. "\n"
end)

return app
