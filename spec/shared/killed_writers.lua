--- Run by processes_spec.lua as `moonloop run killed_writers.lua KILLS`: forks processes that write into the shared
--- dictionary as fast as they can, kills each of them at a random moment, and checks that all that was acknowledged is
--- there and that nothing is torn. Prints "ok", and how much was written.

local ffi = require("ffi")
local moonloop = require("moonloop")
local shared = require("moonloop.shared")

ffi.cdef([[
int fork(void); int kill(int pid, int signal); int waitpid(int pid, int *status, int options);
int usleep(unsigned int us); void _exit(int code);
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset);
struct acknowledged { uint64_t hits, slow, appended, pairs, rounds; };
]])

local KILLS, AT_ONCE = tonumber(arg[1]), 3
local SIGKILL, READ_WRITE, SHARED_ANONYMOUS = 9, 3, 0x21

local acknowledged = ffi.cast("struct acknowledged *", ffi.C.mmap(nil,
    KILLS * ffi.sizeof("struct acknowledged"), READ_WRITE, SHARED_ANONYMOUS, -1, 0))

local dict = moonloop.shared("killed")

--- Until it is killed. A number in `mine` is stored when the call before it has returned.
local function write(mine, seed)
    local round, lock = seed, moonloop.lock("killed")
    while true do
        round = round + 1
        dict:incr("hits")
        mine.hits = mine.hits + 1
        dict:update("slow", function(n) return (n or 0) + 1 end)
        mine.slow = mine.slow + 1
        -- A counter that comes and goes: cells are taken and given back.
        local key = "brief" .. round % 7
        dict:incr(key)
        if round % 3 == 0 then
            dict:delete(key)
        end
        dict:set("pair" .. round % 5, { round, ("x"):rep(round % 3000), round })
        mine.pairs = mine.pairs + 1
        if round % 4 == 0 then
            dict:incr("expiring" .. round % 3, 1, 0.005)
        end
        if lock:try_acquire() then
            dict:incr("under lock")
            lock:release()
        end
        mine.rounds = mine.rounds + 1
    end
end

local function start(number)
    local pid = ffi.C.fork()
    if pid == 0 then
        pcall(write, acknowledged[number], number)
        ffi.C._exit(1)
    end
    return pid
end

local function expect(what, is_so, ...)
    if not is_so then
        print("WRONG: " .. what, ...)
        os.exit(1)
    end
end

local function check_pairs()
    for i = 0, 4 do
        local pair = dict:get("pair" .. i)
        expect("torn", not pair or pair[1] == pair[3] and #pair[2] == pair[1] % 3000, i)
    end
end

dict:set("hits", 0) -- the parent has it open, too
local status, running = ffi.new("int[1]"), {}
for number = 0, KILLS - 1 do
    running[#running + 1] = start(number)
    if #running == AT_ONCE or number == KILLS - 1 then
        repeat
            ffi.C.usleep(math.random(0, 3000))
            local pid = table.remove(running, 1)
            ffi.C.kill(pid, SIGKILL)
            ffi.C.waitpid(pid, status, 0)
            expect("a writer ended by itself", status[0] == SIGKILL, status[0])
            check_pairs()
        until number < KILLS - 1 or #running == 0
    end
end

local hits, slow, rounds = 0, 0, 0
for number = 0, KILLS - 1 do
    hits = hits + tonumber(acknowledged[number].hits)
    slow = slow + tonumber(acknowledged[number].slow)
    rounds = rounds + tonumber(acknowledged[number].rounds)
end
-- Each of the killed may have done one more than it could say.
expect("hits", dict:get("hits") >= hits and dict:get("hits") <= hits + KILLS, dict:get("hits"), hits)
expect("slow", dict:get("slow") >= slow and dict:get("slow") <= slow + KILLS, dict:get("slow"), slow)

dict:set("after", 1)
moonloop.sleep(0.02)
shared.sweep()
local keys = dict:keys()
expect("entries", shared.stats().entries == #keys, shared.stats().entries, #keys)
local counters = 0
for _, key in ipairs(keys) do
    counters = counters + ((key == "hits" or key == "under lock" or key:find("^brief")) and 1 or 0)
end
expect("cells", shared.stats().counters == counters, shared.stats().counters, counters)
moonloop.lock("killed"):with(function() end) -- whoever had it is dead
dict:clear()
moonloop.sleep(0)
expect("room", shared.stats().used_bytes == 0 and shared.stats().counters == 0, shared.stats().used_bytes)
print(("ok %d %d %d"):format(hits, rounds, shared.stats().recovered))
