--- `moonloop run FILE [ARG…]`: one script, in a task of the runtime.

local M = {}

---What failed, with where: an error object's message and traceback, or whatever was raised.
local function describe(err)
    local errors = require("moonloop.util.errors")
    if errors.is(err) then
        return err.message .. "\n" .. (errors.trace(err) or err.traceback)
    elseif type(err) == "table" and err.message then
        return tostring(err.message) .. (err.traceback and "\n" .. tostring(err.traceback) or "")
    end
    local text = debug.traceback(errors.message(err), 2) -- no tail call: the level counts this frame
    return text
end

---Sets `arg` as the lua command does, and runs the script. The script's own `os.exit` ends the process.
---@param options { file: string, args: string[] }
---@return integer exit_code 0; 1 when it could not be loaded or raised, said on standard error
function M.run(options)
    local file, args = options.file, options.args
    local chunk, reason = loadfile(file)
    if not chunk then
        io.stderr:write("moonloop: ", reason, "\n")
        return 1
    end
    _G.arg = { [0] = file, unpack(args) }
    local directory = file:match("^(.*)/[^/]*$") or "."
    package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory, package.path)
    local ok, failure = xpcall(chunk, describe, unpack(args))
    io.stdout:flush()
    if ok then
        return 0
    end
    io.stderr:write("moonloop: ", failure, "\n")
    return 1
end

return M
