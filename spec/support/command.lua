--- Runs commands to their end: the moonloop under test, or any other, through the shell.
--- For what answers and exits; servers are started with spec/support/server.lua.

local M = {}

local function quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function slurp(path)
    local file = assert(io.open(path, "rb"))
    local bytes = file:read("*a")
    file:close()
    return bytes
end

local function first_line(command)
    local pipe = assert(io.popen(command))
    local line = pipe:read("*l")
    pipe:close()
    return line
end

---The binary that runs these specs.
---@type string absolute
M.moonloop = first_line("readlink -f /proc/$PPID/exe")
---The top of the source tree: specs are run from there.
---@type string absolute
M.root = first_line("pwd -P")

---@class spec.CommandResult
---@field code integer
---@field out string
---@field err string

---Runs `words` and waits.
---@param words string[]
---@param options? { cwd?: string, env?: table<string, string|false>, input?: string } false: not set
---@return spec.CommandResult
function M.run(words, options)
    options = options or {}
    local parts = { "cd ", quote(options.cwd or "."), " && env" }
    for name, value in pairs(options.env or {}) do
        if value then
            parts[#parts + 1] = " " .. quote(name .. "=" .. value)
        else
            table.insert(parts, 4, " -u " .. name)
        end
    end
    for _, word in ipairs(words) do
        parts[#parts + 1] = " " .. quote(word)
    end
    local out, err = os.tmpname(), os.tmpname()
    local input = options.input and ("printf %s " .. quote(options.input) .. " | ") or ""
    local command = ("%s( %s ) >%s 2>%s </dev/null; echo $?"):format(input, table.concat(parts), out, err)
    if options.input then
        command = command:gsub(" </dev/null", "", 1)
    end
    local code = tonumber(first_line(command))
    local result = { code = code, out = slurp(out), err = slurp(err) }
    os.remove(out)
    os.remove(err)
    return result
end

---Runs the moonloop under test.
---@param words string[]
---@param options? table as of run
---@return spec.CommandResult
function M.call(words, options)
    return M.run({ M.moonloop, unpack(words) }, options)
end

---A new empty directory; remove it with M.remove.
---@return string absolute
function M.directory()
    return first_line("mktemp -d")
end

---@param directory string one that M.directory gave
function M.remove(directory)
    assert(directory:match("^/tmp/"), "not a temporary directory")
    os.execute("rm -rf " .. quote(directory))
end

---Writes a file, and the directories above it.
---@param path string
---@param text string
function M.write(path, text)
    os.execute("mkdir -p " .. quote(path:match("^(.*)/")))
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

---@param path string
---@return string
function M.read(path)
    return slurp(path)
end

return M
