--- The busted output handler of a process that runs one spec file for `moonloop test`: tells the command what
--- becomes of each example, over what was its standard output. Standard output is then the file that came as
--- standard input: the command shows what specs print. Standard error is a file, too, with the log of apps that
--- run in the process; an event says which part of it belongs to an example.
---
--- An event is the number of its bytes, a newline, and a table as string.buffer encodes it.

local buffer = require("string.buffer")
local ffi = require("ffi")

ffi.cdef([[
int fcntl(int fd, int command, ...);
int dup2(int from, int to);
int open(const char *path, int flags, ...);
int close(int fd);
long write(int fd, const void *bytes, size_t count);
int64_t lseek64(int fd, int64_t offset, int whence);
]])

local F_DUPFD_CLOEXEC, EINTR = 1030, 4
local SEEK_END = 2

---@class moonloop.cli.TestEvent
---@field kind "start"|"problem"|"end"|"file"|"done"
---@field name? string of the example with those around it, or of the file
---@field place? string FILE:LINE of the example
---@field status? "success"|"pending"|"failure"|"error" of an end; of a problem one of the last two
---@field is_outside? boolean of a problem: not of the example itself, but of what surrounds it
---@field seconds? number of an end, of a file
---@field message? string of a problem, of a pending example
---@field traceback? string
---@field printed integer how many bytes were written to standard output until then
---@field from? integer where the example's output begins in the file of standard error
---@field to? integer and where it ends

---@param fd integer
---@param bytes string
local function write_all(fd, bytes)
    local at = 0
    while at < #bytes do
        local count = tonumber(ffi.C.write(fd, ffi.cast("const char *", bytes) + at, #bytes - at))
        if count < 0 and ffi.errno() ~= EINTR then
            return -- the command is gone, and ends this process with it
        end
        at = at + math.max(count, 0)
    end
end

---How many bytes were written to it, by this process and those that it started.
---@param fd integer? standard error
local function position(fd)
    return math.max(tonumber(ffi.C.lseek64(fd or 2, 0, SEEK_END)), 0)
end

---Takes standard output for the events, and gives specs the file instead.
---@return fun(event: moonloop.cli.TestEvent) tell
local function open()
    io.stdout:flush()
    local fd = ffi.C.fcntl(1, F_DUPFD_CLOEXEC, ffi.cast("int", 64))
    local null = ffi.C.open("/dev/null", 0)
    assert(fd >= 0 and null >= 0 and ffi.C.dup2(0, 1) == 1 and ffi.C.dup2(null, 0) == 0, "no place for events")
    ffi.C.close(null)
    io.stdout:setvbuf("line")
    return function(event)
        event.printed = position(1)
        local bytes = buffer.encode(event)
        write_all(fd, ("%d\n"):format(#bytes) .. bytes)
    end
end

---The name with those around it, and its place.
local function identify(busted, element)
    local names, parent = { element.name or element.descriptor }, busted.parent(element)
    while parent and (parent.name or parent.descriptor) and parent.descriptor ~= "file" and
        parent.descriptor ~= "suite" do
        table.insert(names, 1, parent.name or parent.descriptor)
        parent = busted.parent(parent)
    end
    local trace = element.trace
    local place = trace and trace.short_src and ("%s:%s"):format(trace.short_src, trace.currentline)
    return table.concat(names, " "), place
end

---@param busted table
---@param tell fun(event: moonloop.cli.TestEvent)
local function subscribe(busted, tell)
    local from, pending, latest = 0, nil, nil
    local function on(channel, fn)
        busted.subscribe(channel, function(...)
            fn(...)
            return nil, true
        end)
    end
    local function teller(status)
        return function(element, _, message, trace)
            local name, place = identify(busted, element)
            name = element.descriptor == "after_each" and latest and name .. ", after " .. latest or name
            tell({
                kind = "problem", name = name, place = place, message = tostring(message), from = from,
                to = position(), traceback = trace and trace.traceback, status = status,
                is_outside = element.descriptor ~= "it",
            })
        end
    end
    on({ "test", "start" }, function(element)
        from, pending = position(), nil
        local name, place = identify(busted, element)
        latest = name
        tell({ kind = "start", name = name, place = place, from = from })
    end)
    on({ "failure" }, teller("failure"))
    on({ "error" }, teller("error"))
    on({ "pending" }, function(_, _, message)
        pending = message ~= nil and tostring(message) or nil
    end)
    on({ "test", "end" }, function(element, _, status)
        local name, place = identify(busted, element)
        tell({
            kind = "end", name = name, place = place, status = status, seconds = element.duration or 0,
            message = pending,
        })
    end)
    on({ "file", "end" }, function(element)
        tell({ kind = "file", name = element.name, seconds = element.duration or 0, from = position() })
    end)
    on({ "exit" }, function()
        io.stdout:flush()
        tell({ kind = "done", from = position() })
    end)
end

---@return table handler as busted's output_handler_loader wants it
return function()
    local busted = require("busted")
    return {
        subscribe = function()
            subscribe(busted, open())
        end,
    }
end
