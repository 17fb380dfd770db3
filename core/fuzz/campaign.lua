--- Runs harnesses that core/fuzz/run has built, each for so many seconds of CPU time, says every half minute how far
--- they are, drops what adds nothing from what was learnt, and ends with a table.
---     moonloop run core/fuzz/campaign.lua DIRECTORY SECONDS JOBS yes|no HARNESS...

local moonloop = require("moonloop")
local process = require("moonloop.process")

local build, seconds, jobs, keeps = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4] == "yes"
assert(build and seconds and jobs, "core/fuzz/run calls this")

local TICKS = 100 -- of /proc a second, on every Linux
local PROGRESS_SECONDS = 30
local MAX_LEN = "-max_len=4096"
local KEPT_BYTES = 2048 -- what spec/corpus takes is small

local function read(path)
    local file = io.open(path, "rb")
    local bytes = file and file:read("*a") or ""
    if file then
        file:close()
    end
    return bytes
end

local function run(...)
    return process.run({ ... }, { stderr = "stdout", check = false })
end

local function count_files(pattern)
    return tonumber(run("sh", "-c", "ls -d " .. pattern .. " 2>/dev/null | wc -l").stdout)
end

local function size_of(directory)
    local bytes = run("sh", "-c", "cat '" .. directory .. "'/* 2>/dev/null | wc -c").stdout
    return ("%d, %.0f KB"):format(count_files(directory .. "/*"), tonumber(bytes) / 1024)
end

---Seconds of CPU time that a process has had; a busy machine gives less than the clock says.
local function cpu_seconds(pid)
    local user, system = read("/proc/" .. pid .. "/stat"):match("^.*%) %S+" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
    return user and (tonumber(user) + tonumber(system)) / TICKS or 0
end

---The last that libFuzzer has said of itself.
local function progress_of(log)
    local last = {}
    for line in log:gmatch("[^\n]+") do
        last = line:match("^#%d+.*cov: ") and line or last
    end
    local line = type(last) == "string" and last or ""
    return {
        executions = tonumber(log:match("number_of_executed_units: (%d+)") or line:match("^#(%d+)") or 0),
        edges = tonumber(line:match("cov: (%d+)") or 0),
        features = tonumber(line:match("ft: (%d+)") or 0),
    }
end

local function words_of(name)
    local words = {
        "nice", "-n", "19", build .. "/fuzz_" .. name, MAX_LEN, "-timeout=20", "-rss_limit_mb=1024",
        "-print_final_stats=1", ("-artifact_prefix=%s/found/%s-"):format(build, name),
    }
    if read(("core/fuzz/%s.dict"):format(name)) ~= "" then
        words[#words + 1] = ("-dict=core/fuzz/%s.dict"):format(name)
    end
    words[#words + 1] = ("%s/learnt/%s"):format(build, name)
    words[#words + 1] = "spec/corpus/" .. name
    return words
end

local function say(name, spent, progress, rest)
    print(("%-10s %4.0f s of CPU, %d executions, %d edges, %d features%s"):format(name, spent, progress.executions,
        progress.edges, progress.features, rest or ""))
    io.stdout:flush()
end

---@return table result
local function fuzz(name)
    local log_path = ("%s/%s.log"):format(build, name)
    local log = assert(io.open(log_path, "wb"))
    local before = count_files(("%s/found/%s-*"):format(build, name))
    local child = process.spawn(words_of(name), { stdin = false, stdout = "discard", stderr = log })
    log:close()
    local spent, said_at = 0, moonloop.now()
    while child.running do
        moonloop.sleep(0.5)
        spent = math.max(spent, cpu_seconds(child.pid))
        if spent >= seconds then
            child:kill("USR1") -- libFuzzer ends after this input
        elseif moonloop.now() - said_at >= PROGRESS_SECONDS then
            said_at = moonloop.now()
            say(name, spent, progress_of(read(log_path)))
        end
    end
    child:wait()
    local result = progress_of(read(log_path))
    result.name, result.seconds = name, spent
    result.found = count_files(("%s/found/%s-*"):format(build, name)) - before
    result.is_broken = child.status ~= 0
    if result.is_broken then
        io.stderr:write(run("grep", "-v", "^#", log_path).stdout)
    end
    say(name, spent, result, result.is_broken and ": FOUND SOMETHING" or "")
    return result
end

---What is learnt becomes the smallest part of it that reaches as much. `keeps`: inputs that reach edges which
---spec/corpus does not go there.
local function minimise(name)
    local program, learnt = ("%s/fuzz_%s"):format(build, name), ("%s/learnt/%s"):format(build, name)
    local smaller = learnt .. ".smaller"
    run("rm", "-rf", smaller)
    run("mkdir", smaller)
    if run("nice", "-n", "19", program, "-merge=1", MAX_LEN, smaller, learnt).status == 0 then
        run("rm", "-rf", learnt)
        run("mv", smaller, learnt)
    end
    if keeps then
        run("nice", "-n", "19", program, "-merge=1", "-use_counters=0", "-max_len=" .. KEPT_BYTES,
            "spec/corpus/" .. name, learnt)
    end
end

local function table_of(results)
    local lines = {
        "| harness | CPU s | executions | edges | features | learnt | spec/corpus | found |",
        "|---|---|---|---|---|---|---|---|",
    }
    for _, result in ipairs(results) do
        lines[#lines + 1] = ("| %s | %.0f | %d | %d | %d | %s | %s | %d |"):format(result.name, result.seconds,
            result.executions, result.edges, result.features, size_of(build .. "/learnt/" .. result.name),
            size_of("spec/corpus/" .. result.name), result.found)
    end
    return table.concat(lines, "\n") .. "\n"
end

local results = moonloop.map({ unpack(arg, 5) }, function(name)
    run("mkdir", "-p", ("%s/learnt/%s"):format(build, name))
    local result = fuzz(name)
    if not result.is_broken then
        minimise(name)
    end
    return result
end, { limit = jobs })

local file = assert(io.open(build .. "/results.md", "wb"))
file:write(table_of(results))
file:close()
print(table_of(results))
for _, result in ipairs(results) do
    if result.is_broken or result.found > 0 then
        os.exit(1)
    end
end
