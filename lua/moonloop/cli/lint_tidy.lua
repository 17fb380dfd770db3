--- clang-tidy over every C file of compile_commands.json that lies in the project, several at once. What it said of a
--- file is remembered under a digest of everything that it depends on, so that it looks again only at what changed.

local concurrency = require("moonloop.concurrency")
local digest = require("moonloop.cli.digest")
local files = require("moonloop.cli.files")
local tools = require("moonloop.cli.lint_tools")

local M = { name = "clang-tidy", settings = ".clang-tidy", package = "clang-tidy" }

-- The same for a tree that lies elsewhere.
local function relative(text, root)
    local from, to = (text .. "/"):find(root .. "/", 1, true)
    return from == 1 and text:sub(to + 1) or nil
end

---Each file once, however many targets it is part of: as the first one compiles it.
---@param build string
---@return { path: string, command: string, entry: table }[]? units sorted by path
---@return string? problem
local function read_units(build)
    local path = build .. "/compile_commands.json"
    local text, reason = files.read(path)
    if not text then
        return nil, ("%s (cmake writes it: run cmake -S . -B %s)"):format(reason, build)
    end
    local root, units, seen = files.working_directory(), {}, {}
    for _, entry in ipairs(require("moonloop.json").decode(text)) do
        local inner = relative(entry.file, root)
        if inner and not seen[inner] then
            seen[inner] = true
            -- Where the tree lies, and where its objects go, changes nothing.
            local command = (entry.command or table.concat(entry.arguments, " ")):gsub("%-o %S+", "")
            local plain = root:gsub("%p", "%%%0")
            units[#units + 1] = { path = inner, command = command:gsub(plain, "."), entry = entry }
        end
    end
    table.sort(units, function(a, b)
        return a.path < b.path
    end)
    return units
end

-- The files that a file includes by a name in quotes, and those that they include: paths below `roots`.
local function make_reader(roots)
    local known = {}
    return function(path)
        local found = known[path]
        if not found then
            local text = files.read(path) or ""
            found = { digest = digest.of(text), includes = {} }
            known[path] = found
            for name in text:gmatch('#%s*include%s*"([^"\n]+)"') do
                for _, root in ipairs(roots) do
                    local candidate = root .. "/" .. name
                    if files.exists(candidate) then
                        found.includes[#found.includes + 1] = candidate
                        break
                    end
                end
            end
        end
        return found
    end
end

-- Of all files that `path` is made of, in the order in which they are met.
local function add_digests(path, read, seen, parts)
    if seen[path] then
        return
    end
    seen[path] = true
    local file = read(path)
    parts[#parts + 1] = path .. " " .. file.digest
    for _, included in ipairs(file.includes) do
        add_digests(included, read, seen, parts)
    end
end

local function roots_of(unit)
    local roots = { unit.path:match("^(.*)/[^/]*$") or "." }
    for root in unit.command:gmatch("%-I%s*(%S+)") do
        roots[#roots + 1] = root:gsub("^%./", "")
    end
    return roots
end

---@param unit { path: string, command: string }
---@param common string what all units depend on
local function key_of(unit, common, readers)
    local roots = roots_of(unit)
    local name = table.concat(roots, "\n")
    readers[name] = readers[name] or make_reader(roots)
    local parts = { common, unit.command }
    add_digests(unit.path, readers[name], {}, parts)
    return digest.of(table.concat(parts, "\n"))
end

local function remember(path, text)
    local temporary = ("%s.%d"):format(path, math.random(1e9))
    local file = assert(io.open(temporary, "wb"))
    file:write(text)
    file:close()
    assert(os.rename(temporary, path))
end

-- A compile_commands.json with these units alone: clang-tidy looks at a file once for each command that it finds.
local function write_commands(directory, units)
    local entries = {}
    for i, unit in ipairs(units) do
        entries[i] = unit.entry
    end
    remember(directory .. "/compile_commands.json", require("moonloop.json").encode(entries))
end

-- Its findings, as text; nil and why when it could not look.
local function look(unit, commands)
    local result, failure = tools.run(M, { "clang-tidy", "--quiet", "-p", commands, unit.path })
    if not result then
        return nil, failure.failure
    end
    local root = files.working_directory():gsub("%p", "%%%0")
    local text = result.stdout:gsub(root .. "/", "")
    if not result.ok and not text:find(": %l+: ") then
        return nil, ("%s: ended with %s: %s"):format(unit.path, result.status or result.signal, result.stderr)
    end
    return text
end

-- Its warnings with the lines that explain them; what was said of a header for another file already is left out.
local function add_findings(report, text)
    local is_new = true
    for line in text:gmatch("[^\n]*\n") do
        if line:match("^[^:]+:%d+:%d+: warning: ") or line:match("^[^:]+:%d+:%d+: error: ") then
            is_new = not report.seen[line]
            report.seen[line] = true
            report.problems = report.problems + (is_new and 1 or 0)
        end
        if is_new then
            report.lines[#report.lines + 1] = line
        end
    end
end

---@param context moonloop.cli.LintContext
---@return moonloop.cli.LintReport
function M.check(context)
    local version, missing = tools.run(M, { "clang-tidy", "--version" })
    if not version then
        return missing
    end
    local units, problem = read_units(context.build)
    if not units then
        return { failure = problem }
    end
    local memory, readers, nknown = context.cache .. "/clang-tidy", {}, 0
    files.make_directory(memory)
    write_commands(context.cache, units)
    local common = digest.of(version.stdout) .. digest.of(files.read(M.settings) or "")
    local findings = concurrency.map(units, function(unit)
        local path = memory .. "/" .. key_of(unit, common, readers)
        local text = files.read(path)
        if text then
            nknown = nknown + 1
            return { text = text }
        end
        local reason
        text, reason = look(unit, context.cache)
        if not text then
            return { failure = reason }
        end
        remember(path, text)
        return { text = text }
    end, { limit = context.jobs })
    local report = { files = #units, lines = {}, seen = {}, problems = 0 }
    for _, finding in ipairs(findings) do
        if finding.failure then
            return { failure = finding.failure }
        end
        add_findings(report, finding.text)
    end
    report.text = table.concat(report.lines)
    report.note = nknown > 0 and ("%d of them unchanged since an earlier run"):format(nknown) or nil
    return report
end

return M
