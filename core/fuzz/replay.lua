--- Gives files to a harness, in the moonloop that runs this: a corpus replayed without libFuzzer, under
--- whatever compiler and sanitizers there are.
---     build/moonloop run core/fuzz/replay.lua build/fuzz_url.so FILE...
---     build/moonloop run core/fuzz/replay.lua core/fuzz/lua/cookies.lua FILE...
--- The last file that is named is the one that failed.

local ffi = require("ffi")

ffi.cdef([[
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
void *malloc(size_t);
void free(void *);
]])

local function load_library(path)
    local harness = ffi.load(path)
    return function(bytes)
        local copy = ffi.C.malloc(#bytes) -- of C's own heap: a sanitizer sees a read beyond its end
        ffi.copy(copy, bytes, #bytes)
        harness.LLVMFuzzerTestOneInput(copy, #bytes)
        ffi.C.free(copy)
    end
end

local path = assert(arg[1], "which harness?")
local run = path:find("%.lua$") and dofile(path) or load_library(path)
for i = 2, #arg do
    local file = assert(io.open(arg[i], "rb"))
    local bytes = file:read("*a")
    file:close()
    io.stderr:write(arg[i], "\n")
    run(bytes)
end
print(#arg - 1 .. " inputs replayed")
