--- What moonloop.shared costs beside ngx.shared.DICT, in one process and in two at once that use the same keys.
--- Run from the root with `build/moonloop run bench/micro/shared.lua [ROUNDS]`; prints machine and commit. Rounds
--- alternate between the two; a figure is the median of the rounds, nanoseconds for one call in one process.

local ffi = require("ffi")
local moonloop = require("moonloop")

ffi.cdef([[
int fork(void); int waitpid(int pid, int *status, int options); void _exit(int code); unsigned getuid(void);
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset);
struct bench { double ns[8]; };
]])

local ROUNDS = tonumber(arg[1] or 5)
local works = dofile("bench/micro/shared_works.lua")
local bench = ffi.cast("struct bench *", ffi.C.mmap(nil, 4096, 3, 0x21, -1, 0)) -- anonymous, shared

local function read_command(command)
    local pipe = assert(io.popen(command .. " 2>/dev/null"))
    local text = pipe:read("*a")
    pipe:close()
    return (text:gsub("\n$", ""))
end

-- ngx takes 0 as the number to begin with where moonloop takes a time to live.
local Same = {}
Same.__index = Same
function Same:incr(key, by)
    return self.dict:incr(key, by)
end
function Same:get(key)
    return self.dict:get(key)
end
function Same:set(key, value)
    return self.dict:set(key, value)
end

local function child(work, number, count, round)
    local dict, barrier = setmetatable({ dict = moonloop.shared("hits") }, Same), moonloop.shared("barrier")
    barrier:incr(round)
    while barrier:get(round) < count do end
    local before = moonloop.now()
    work.run(dict, work.times)
    bench.ns[number] = (moonloop.now() - before) / work.times * 1e9
end

local nmeasured = 0

---@return number ns the mean of the processes
local function measure(work, count)
    local pids, status, sum = {}, ffi.new("int[1]"), 0
    nmeasured = nmeasured + 1
    for number = 0, count - 1 do
        pids[number] = ffi.C.fork()
        if pids[number] == 0 then
            local ok, err = pcall(child, work, number, count, nmeasured)
            if not ok then
                io.stderr:write(tostring(err), "\n")
            end
            ffi.C._exit(ok and 0 or 1)
        end
    end
    for number = 0, count - 1 do
        ffi.C.waitpid(pids[number], status, 0)
        assert(status[0] == 0, "a process has failed")
        sum = sum + bench.ns[number]
    end
    return sum / count
end

---@return table<string, number> ns by "work count", the mean of the processes
local function measure_nginx()
    local dir = read_command("mktemp -d")
    local here = read_command("pwd")
    local conf = io.open("bench/peers/nginx/shared.conf"):read("*a"):gsub("@(%u+)@", {
        DIR = here .. "/bench/peers/nginx", TMP = dir, USER = ffi.C.getuid() == 0 and "user root;" or "",
    })
    local file = assert(io.open(dir .. "/nginx.conf", "w"))
    file:write(conf)
    file:close()
    os.execute(("cp bench/micro/shared_works.lua %s/works.lua"):format(dir))
    read_command(("timeout 60 nginx -p %s/ -c %s/nginx.conf"):format(dir, dir))
    local sums = {}
    for line in io.lines(dir .. "/results.txt") do
        local name, count, ns = line:match("^(%S+) (%d) (%S+)$")
        local key = name .. " " .. count
        sums[key] = (sums[key] or 0) + tonumber(ns) / tonumber(count)
    end
    os.execute("rm -r " .. dir)
    return sums
end

local function median(list)
    table.sort(list)
    return list[math.ceil(#list / 2)]
end

print("machine: " .. read_command("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs"))
print("commit:  " .. read_command("git describe --always --dirty"))

require("moonloop.shared").path() -- made before the forks: theirs is the same
local has_nginx = read_command("command -v nginx") ~= ""
local ours, theirs = {}, {}
for _ = 1, ROUNDS do
    local nginx = has_nginx and measure_nginx() or {}
    for _, work in ipairs(works) do
        for count = 1, 2 do
            local key = work.name .. " " .. count
            ours[key], theirs[key] = ours[key] or {}, theirs[key] or {}
            table.insert(ours[key], measure(work, count))
            table.insert(theirs[key], nginx[key])
        end
    end
end

print(("%-12s %10s %10s %10s %8s"):format("ns a call", "processes", "ngx", "moonloop", "ratio"))
for _, work in ipairs(works) do
    for count = 1, 2 do
        local key = work.name .. " " .. count
        local our, their = median(ours[key]), median(theirs[key]) or 0 / 0
        print(("%-12s %10d %10.1f %10.1f %8.2f"):format(work.name, count, their, our, our / their))
    end
end
