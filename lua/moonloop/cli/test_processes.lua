--- Spec files in processes of their own, several at once: each file begins with a fresh runtime, and one that
--- crashes or hangs takes no other along. What becomes of them goes to a report (cli/test_report.lua).

local buffer = require("string.buffer")
local files = require("moonloop.cli.files")
local moonloop = require("moonloop")

local M = {}

local GRACE = 2
-- Options that a process needs as well, with a value and without.
local VALUED = { "filter", "filter_out", "tags", "exclude_tags", "repeat", "seed" }
local SWITCHES = { "shuffle" }

---The spec files among `paths`: of a directory those with a name that matches `pattern`, in the order of their
---names; a file that is named is one.
---@param paths string[]
---@param pattern? string Lua pattern of a file's name; "_spec"
---@return string[] files each once
---@return string[] missing what is not there
function M.find(paths, pattern)
    local found, missing, seen = {}, {}, {}
    local function add(path)
        if not seen[path] then
            seen[path] = true
            found[#found + 1] = path
        end
    end
    for _, path in ipairs(paths) do
        path = #path > 1 and path:gsub("/+$", "") or path
        if files.is_directory(path) then
            local below = files.walk(path, ".lua")
            table.sort(below)
            for _, file in ipairs(below) do
                if file:match("[^/]*$"):find(pattern or "_spec") then
                    add(file)
                end
            end
        elseif files.exists(path) then
            add(path)
        else
            missing[#missing + 1] = path
        end
    end
    return found, missing
end

---Brings `paths` into an order that the seed decides.
---@param paths string[] changed
---@param seed number
function M.shuffle(paths, seed)
    math.randomseed(seed)
    for i = #paths, 2, -1 do
        local other = math.random(i)
        paths[i], paths[other] = paths[other], paths[i]
    end
end

---The command line of the process of one file.
local function words_for(path, options)
    local words = { files.own_binary(), "test", "--events" }
    for _, name in ipairs(VALUED) do
        if options[name] then
            words[#words + 1] = "--" .. name:gsub("_", "-") .. "=" .. options[name]
        end
    end
    for _, name in ipairs(SWITCHES) do
        words[#words + 1] = options[name] and "--" .. name or nil
    end
    words[#words + 1] = "--"
    words[#words + 1] = path
    return words
end

---A file without a name, for what a process writes. It appends, however others read meanwhile.
local function new_capture()
    local path = os.tmpname()
    local file = assert(io.open(path, "a+b"))
    os.remove(path)
    return file
end

---The next event; nil when there will be none, or what came is none.
---@return moonloop.cli.TestEvent?
local function read_event(stream)
    local length = tonumber(stream:read("line") or "")
    local bytes = length and stream:read(length)
    return bytes and #bytes == length and buffer.decode(bytes) or nil
end

---@param path string
---@param options table
---@param section moonloop.cli.TestSection
local function run_file(path, options, section)
    local out, err_out = new_capture(), new_capture()
    section:begin(out, err_out)
    -- It writes to what it gets as standard input: standard output is for its events.
    local process = moonloop.process.spawn(words_for(path, options), {
        stdin = out, stderr = err_out, timeout = options.timeout, grace = GRACE,
    })
    for event in read_event, process.stdout do
        section:tell(event)
    end
    local result, err = moonloop.try(process.wait, process)
    section:finish(result or err)
    out:close()
    err_out:close()
end

---Runs each file to its end.
---@param paths string[]
---@param options table of the command line: `jobs`, how many at once, `timeout` of each file in seconds, ...
---@param report moonloop.cli.TestReport made for these paths
function M.run(paths, options, report)
    moonloop.map(paths, function(path, index)
        run_file(path, options, report:section(index))
        report:advance()
    end, { limit = options.jobs })
end

return M
