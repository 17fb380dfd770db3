--- A sleep that blocks its thread, as a C library does that knows nothing of event loops.
--- It stands for a database driver, an image codec, a file on a slow disk.

local ffi = require("ffi")

ffi.cdef("int usleep(unsigned int microseconds);")

---@param seconds number 0 to 60
return function(seconds)
    if not (seconds >= 0 and seconds <= 60) then
        error("blocking_sleep: expected 0 to 60 seconds", 2)
    end
    ffi.C.usleep(seconds * 1e6)
end
