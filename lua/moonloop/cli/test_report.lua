--- What `moonloop test` shows of spec files that run in processes of their own: a mark for each example, in the
--- order of the files however many run at once; in the end what failed, with the output that belongs to it.

local files = require("moonloop.cli.files")
local section = require("moonloop.cli.test_section")

local M = {}

local PLAIN = { success = "+", pending = ".", failure = "-", error = "*" }
local COLOURED = {
    success = "\27[32m●\27[0m", pending = "\27[33m◌\27[0m", failure = "\27[31m◼\27[0m", error = "\27[35m✱\27[0m",
}

---@class moonloop.cli.TestReport
---@field private sections moonloop.cli.TestSection[]
---@field private waiting table<moonloop.cli.TestSection, string[]> what is shown when its turn comes
---@field private turn integer of the section that is shown as it goes
---@field private is_in_line boolean whether the last line has no end yet
---@field private options table
local Report = {}
Report.__index = Report

local function write(report, text)
    if text ~= "" then
        report.is_in_line = text:sub(-1) ~= "\n"
        io.stdout:write(text)
        io.stdout:flush()
    end
end

local function end_line(report)
    write(report, report.is_in_line and "\n" or "")
end

local function show(report, of, text)
    if report.sections[report.turn] == of then
        write(report, text)
    else
        table.insert(report.waiting[of], text)
    end
end

---@param paths string[]
---@param options table of the command line: verbose, slow
---@return moonloop.cli.TestReport
function M.new(paths, options)
    local marks = files.is_terminal(1) and COLOURED or PLAIN
    local self = setmetatable({
        sections = {}, waiting = {}, turn = 1, is_in_line = false, options = options,
    }, Report)
    for i, path in ipairs(paths) do
        self.sections[i] = section.new(path, options.verbose or false, function(of, what, is_mark)
            show(self, of, is_mark and (marks[what] or marks.error) or what)
        end)
        self.waiting[self.sections[i]] = {}
    end
    return self
end

---@param index integer of the path
---@return moonloop.cli.TestSection
function Report:section(index)
    return self.sections[index]
end

---Shows those whose turn has come. To be called when a section is over.
function Report:advance()
    local current = self.sections[self.turn]
    while current and current.is_over do
        self.turn = self.turn + 1
        current = self.sections[self.turn]
        if current then
            write(self, table.concat(self.waiting[current]))
            self.waiting[current] = {}
        end
    end
end

local function print_slowest(list, count)
    table.sort(list, function(a, b)
        return a.seconds > b.seconds
    end)
    for i = 1, math.min(count, #list) do
        io.stdout:write(("%8.2f s  %s\n"):format(list[i].seconds, list[i].name))
    end
end

local function list_slowest(report)
    local count, tests, paths = tonumber(report.options.slow) or 0, {}, {}
    for i, of in ipairs(report.sections) do
        paths[i] = { name = of.path, seconds = of.seconds }
        for _, test in ipairs(of.tests) do
            tests[#tests + 1] = test
        end
    end
    print_slowest(tests, count)
    print_slowest(paths, count)
end

---Ends the line of marks, lists the slowest, and counts. To be called when all sections are over.
---@return moonloop.cli.TestCounts
function Report:count()
    end_line(self)
    list_slowest(self)
    local counts = { passed = 0, failed = 0, skipped = 0 }
    for _, of in ipairs(self.sections) do
        for name, count in pairs(of.counts) do
            counts[name] = counts[name] + count
        end
    end
    return counts
end

---What failed, and the names of that once more, so that they are found at the end of whatever keeps the output.
function Report:finish()
    local titles = {}
    for _, of in ipairs(self.sections) do
        for _, text in ipairs(of.skipped) do
            io.stdout:write("skipped  ", text, "\n")
        end
    end
    for _, of in ipairs(self.sections) do
        for _, problem in ipairs(of.problems) do
            io.stdout:write("\nfailed  ", problem.title, "\n    ", table.concat(problem.lines, "\n    "), "\n")
            titles[#titles + 1] = problem.title
        end
    end
    if #titles > 1 then
        io.stdout:write("\nfailed: ", #titles, "\n    ", table.concat(titles, "\n    "), "\n")
    end
end

return M
