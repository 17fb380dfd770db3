--- What a pattern tells the page while it runs: which piece of work took when, and how it ended.
---
---     local show, story = require("show").new()
---     show.work("orders", 0.1)      -- stands for a call that takes so long
---     story()                       -- what happened, as a table

local moonloop = require("moonloop")

local M = {}

local function outcome_of(ok, err)
    if ok then
        return "done"
    end
    local code = type(err) == "table" and err.code
    return (code == "cancelled" or code == "timeout") and code or "failed"
end

---@class patterns.Show
---@field work fun(name: string, seconds: number, problem?: string): string sleeps, then gives its name, or fails
---@field bar fun(name: string, from: number, to: number, outcome: string) work that was timed by moonloop.now()
---@field note fun(text: string) something that happened in this moment

---@return patterns.Show show
---@return fun(): table story
function M.new()
    local began = moonloop.now()
    local bars, notes = moonloop.json.array({}), moonloop.json.array({})
    local show = {}

    function show.bar(name, from, to, outcome)
        bars[#bars + 1] = { name = name, from = from - began, to = to - began, outcome = outcome }
    end

    function show.work(name, seconds, problem)
        local from = moonloop.now()
        local ok, err = pcall(function()
            moonloop.sleep(seconds)
            if problem then
                error(problem, 0)
            end
        end)
        show.bar(name, from, moonloop.now(), outcome_of(ok, err))
        if not ok then
            error(err, 0)
        end
        return name
    end

    function show.note(text)
        notes[#notes + 1] = { at = moonloop.now() - began, text = text }
    end

    return show, function()
        table.sort(bars, function(a, b) return a.from < b.from end)
        return { took = moonloop.now() - began, bars = bars, notes = notes }
    end
end

return M
