---@meta moonloop.core.file
--- Files that tasks wait for (core/script/lib_file.c): what may block runs on other threads. Functions that wait
--- return `true, ...` or `false, error` (code `file`, with `path` and `errno`) and raise `misuse` outside of a task,
--- `closed` for a file that is closed. A file is closed at the latest with the request that it was opened for, or by
--- the collector; a wait that is cancelled closes it as well.

local core = {}

---@param path string
---@param how? "read"|"write"|"append"|"create" "write" empties what is there, "create" fails when something is
---@param mode? integer permissions of a file that it makes, less the umask; 438, which is 0666
---@return boolean ok
---@return userdata|table file or error
function core.open(path, how, mode) end

---@param file userdata
---@param most integer bytes, 1 to 64 MiB
---@param offset? number bytes; where the last read or write ended
---@return boolean ok
---@return string|table|nil bytes as many, unless the file ends; nil at its end
function core.read(file, most, offset) end

---@param file userdata
---@param bytes string
---@param offset? number bytes; where the last read or write ended
---@return boolean ok
---@return table? error
function core.write(file, bytes, offset) end

---@param file userdata
---@return boolean ok
---@return { size: number, modified: number, mode: integer, kind: "file"|"directory"|"other" }|table stat or error
function core.stat(file) end

---Waits until what was written is on the disk.
---@param file userdata
---@return boolean ok
---@return table? error
function core.sync(file) end

---@param file userdata
---@return boolean ok
---@return table? error that of a write before, perhaps
function core.close(file) end

---Closes it without waiting; harmless when it is closed.
---@param file userdata
function core.drop(file) end

---@return integer operations on files under way
function core.count() end

return core
