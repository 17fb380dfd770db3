--- Where `moonloop fetch` writes an answer: standard output, a terminal perhaps, or a file, with progress.

local clock = require("moonloop.clock")
local fault = require("moonloop.cli.fault")
local ffi = require("ffi")

ffi.cdef("int isatty(int descriptor);")

local M = {}

M.EXIT_WRITE, M.EXIT_PIPE = 23, 141

local EPIPE = 32
local PROGRESS_SECONDS = 0.1

---@param descriptor integer
---@return boolean
function M.is_terminal(descriptor)
    return ffi.C.isatty(descriptor) == 1
end

---Whether to use colours on a terminal (https://no-color.org).
---@return boolean
function M.wants_colours()
    local is_unwanted = os.getenv("NO_COLOR")
    return (is_unwanted == nil or is_unwanted == "") and os.getenv("TERM") ~= "dumb"
end

---@class moonloop.cli.Output
---@field is_terminal boolean what is written to it is shown
---@field private file file*
---@field private path? string
---@field private is_new boolean there was no such file before
---@field private is_begun boolean
---@field private bytes integer
local Output = {}
Output.__index = Output

---@param path? string nil: standard output
---@param is_forced boolean binary bytes may go to a terminal
---@return moonloop.cli.Output
function M.open(path, is_forced)
    if not path then
        io.stdout:setvbuf("full")
        return setmetatable({ file = io.stdout, is_terminal = not is_forced and M.is_terminal(1), bytes = 0 }, Output)
    end
    local before = io.open(path, "rb")
    if before then
        before:close()
    end
    -- Appending, what is there stays until there is something to take its place.
    local file, reason = io.open(path, "ab")
    if not file then
        fault.raise(M.EXIT_WRITE, "fetch: -o: cannot write %s", reason)
    end
    return setmetatable({ file = file, path = path, is_new = not before, is_terminal = false, bytes = 0 }, Output)
end

local function check(self, is_written, reason, number)
    if is_written then
        return
    elseif number == EPIPE then
        fault.raise(M.EXIT_PIPE, "")
    end
    fault.raise(M.EXIT_WRITE, "fetch: cannot write %s", self.path and tostring(reason) or "standard output: "
        .. tostring(reason))
end

local function begin(self)
    self.is_begun = true
    if self.path then
        self.file:close()
        local file, reason = io.open(self.path, "wb")
        check(self, file, reason)
        self.file = file
    end
end

---Writes and sees that it leaves. Raises a fault.
---@param bytes string
function Output:write(bytes)
    if not self.is_begun then
        begin(self)
    end
    self.bytes = self.bytes + #bytes
    check(self, self.file:write(bytes))
    check(self, self.file:flush())
end

---Nothing more comes. A file that is empty for want of an answer goes, if it was not there before.
---@param is_done boolean the answer is whole
function Output:close(is_done)
    if not self.path then
        return
    end
    if is_done and not self.is_begun then
        begin(self)
    end
    self.file:close()
    if not self.is_begun and self.is_new then
        os.remove(self.path)
    end
end

local UNITS = { "B", "K", "M", "G", "T" }

---"12.3M"
---@param bytes number
---@return string
function M.size(bytes)
    local unit = 1
    while bytes >= 1000 and unit < #UNITS do
        bytes, unit = bytes / 1024, unit + 1
    end
    return (unit == 1 and "%d%s" or bytes < 10 and "%.1f%s" or "%.0f%s"):format(bytes, UNITS[unit])
end

---@class moonloop.cli.Progress
local Progress = {}
Progress.__index = Progress

---@return moonloop.cli.Progress
function M.progress()
    local now = clock.now()
    return setmetatable({ began = now, shown = now }, Progress)
end

---Shows how far it is, not too often.
---@param bytes integer so far
---@param total? integer
function Progress:tell(bytes, total)
    local now = clock.now()
    if now - self.shown < PROGRESS_SECONDS then
        return
    end
    self.shown = now
    local rate = bytes / (now - self.began)
    local text = M.size(bytes)
    if total and total > 0 then
        local left = math.max(0, total - bytes) / rate
        text = ("%s of %s  %d%%  %s/s  %d:%02d left"):format(text, M.size(total),
            math.floor(100 * bytes / total), M.size(rate), math.floor(left / 60), math.floor(left % 60))
    else
        text = ("%s  %s/s"):format(text, M.size(rate))
    end
    self.is_shown = true
    io.stderr:write("\r\27[K", text)
end

---Takes the line away.
function Progress:finish()
    if self.is_shown then
        io.stderr:write("\r\27[K")
    end
end

return M
