--- One spec file's part of what `moonloop test` reports: fed with the events of the process that runs it
--- (cli/test_events.lua), and with that process's end.

local M = {}

local COLUMNS = { success = "passed", pending = "skipped", failure = "failed", error = "failed" }
local MESSAGE_LINES, TRACEBACK_LINES, LOG_LINES, MAX_LOG_BYTES = 60, 12, 40, 256 * 1024

---@class moonloop.cli.TestProblem
---@field title string place and name of what failed
---@field lines string[] message, traceback, output

---@class moonloop.cli.TestSection
---@field path string
---@field counts moonloop.cli.TestCounts
---@field problems moonloop.cli.TestProblem[]
---@field skipped string[] place, name and reason of the examples that were left out
---@field tests { name: string, seconds: number }[]
---@field seconds number that the file took
---@field is_over boolean whether its process has ended
---@field private show fun(section: moonloop.cli.TestSection, what: string, is_mark: boolean)
---@field private is_verbose boolean
---@field private out file* what its process writes to standard output
---@field private shown integer bytes of that
---@field private err file* what its process writes to standard error
---@field private running? moonloop.cli.TestEvent the start of the example that runs
---@field private last integer where in `err` the output after the last event begins
---@field private is_done boolean whether all examples have run
local Section = {}
Section.__index = Section

---@param path string
---@param is_verbose boolean all of a long traceback and log
---@param show fun(section: moonloop.cli.TestSection, what: string, is_mark: boolean) gets the status of an
---  example that has ended, or a text that was printed
---@return moonloop.cli.TestSection
function M.new(path, is_verbose, show)
    return setmetatable({
        path = path, counts = { passed = 0, failed = 0, skipped = 0 }, problems = {}, skipped = {}, tests = {},
        seconds = 0, is_over = false, show = show, shown = 0, is_verbose = is_verbose, last = 0, is_done = false,
    }, Section)
end

---@param out file* what its process writes to standard output; read until the process has ended
---@param err file* and to standard error
function Section:begin(out, err)
    self.out, self.err = out, err
end

---Shows what was printed since the last time.
---@param to integer as many bytes in all
local function show_printed(section, to)
    section.out:seek("set", section.shown)
    local text = section.out:read(to - section.shown) or ""
    section.shown = section.shown + #text
    if text ~= "" then
        section:show(text, false)
    end
end

local function split_lines(text)
    local lines = {}
    for line in (text:gsub("\n+$", "") .. "\n"):gmatch("([^\n]*)\n") do
        lines[#lines + 1] = line
    end
    return lines
end

---The first `count` lines, or with `count` below 0 the last, and how many are left out.
local function shorten(lines, count)
    local excess = #lines - math.abs(count)
    if excess <= 0 then
        return lines
    end
    local left_out = ("... (%d more lines: --verbose)"):format(excess)
    if count < 0 then
        return { left_out, unpack(lines, excess + 1) }
    end
    local short = { unpack(lines, 1, count) }
    short[count + 1] = left_out
    return short
end

---What was written to standard error between two places, its end when it is long.
local function output_of(section, from, to)
    local last = section.err:seek("end")
    to = math.min(to or last, last)
    from = math.max(from, to - MAX_LOG_BYTES)
    section.err:seek("set", from)
    return to > from and section.err:read(to - from) or ""
end

local function strip(traceback)
    return (traceback:gsub("^%s*stack traceback:%s*", ""):gsub("\n%s+", "\n"))
end

---@param title string
---@param message string
---@param traceback? string
---@param output string
---@param output_lines? integer how many to show of it, from its end when below 0
local function add_problem(section, title, message, traceback, output, output_lines)
    local lines = section.is_verbose and split_lines(message) or shorten(split_lines(message), MESSAGE_LINES)
    local function add(heading, text, count)
        local added = text:find("%S") and split_lines(text) or {}
        lines[#lines + 1] = added[1] and heading
        for _, line in ipairs(section.is_verbose and added or shorten(added, count)) do
            lines[#lines + 1] = "  " .. line
        end
    end
    add("traceback:", traceback and strip(traceback) or "", TRACEBACK_LINES)
    add("output:", output, output_lines or -LOG_LINES)
    section.problems[#section.problems + 1] = { title = title, lines = lines }
end

---Counts something that failed and is no example.
local function add_outside(section)
    section.counts.failed = section.counts.failed + 1
    section:show("error", true)
end

local function title_of(section, event)
    return ("%s: %s"):format(event.place or section.path, event.name)
end

local on = {}

function on.start(section, event)
    section.running = event
end

function on.problem(section, event)
    local wants_traceback = event.status == "error" or section.is_verbose
    add_problem(section, title_of(section, event), event.message, wants_traceback and event.traceback,
        output_of(section, event.from, event.to))
    if event.is_outside then
        add_outside(section)
    end
end

on["end"] = function(section, event)
    local column = COLUMNS[event.status] or "failed"
    local title = title_of(section, event)
    section.counts[column] = section.counts[column] + 1
    section.running = nil
    section.tests[#section.tests + 1] = { name = title, seconds = event.seconds }
    if column == "skipped" then
        section.skipped[#section.skipped + 1] = title .. (event.message and ": " .. event.message or "")
    end
    section:show(event.status, true)
end

function on.file(section, event)
    section.seconds, section.last = section.seconds + event.seconds, event.from
end

function on.done(section, event)
    section.is_done, section.last = true, event.from
end

---@param event moonloop.cli.TestEvent
function Section:tell(event)
    show_printed(self, event.printed)
    on[event.kind](self, event)
end

---@param result moonloop.process.Result
local function describe_end(result)
    if result.timed_out then
        return ("it took longer than --timeout allows and was ended after %.1f s"):format(result.duration)
    end
    return result.signal and "its process was ended by " .. result.signal or
        ("its process exited with %s"):format(result.status)
end

---What ThreadSanitizer has found, in whichever example: it goes on, and only the exit code tells of it. Else what
---came last.
---@return string output
---@return integer? lines to show of it
local function output_after_all(section)
    local all = output_of(section, 0)
    local at = all:find("WARNING: ThreadSanitizer", 1, true)
    if at then
        return all:sub(at), LOG_LINES
    end
    return output_of(section, section.last)
end

---The process has ended: well, or it says so with what it wrote last.
---@param result moonloop.process.Result
function Section:finish(result)
    local running = self.running
    show_printed(self, self.out:seek("end"))
    if result.ok and self.is_done then
        self.is_over = true
        return
    end
    local title = running and title_of(self, running) or self.path
    local when = running and "in this example" or self.is_done and "after its last example" or "outside of an example"
    local message = ("%s, %s"):format(describe_end(result), when)
    if running then
        add_problem(self, title, message, nil, output_of(self, running.from))
    else
        add_problem(self, title, message, nil, output_after_all(self))
    end
    add_outside(self)
    self.is_over = true
end

return M
