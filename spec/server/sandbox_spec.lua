local process = require("spec.support.process")
local server = require("spec.support.server")

local APP = [==[
local ffi = require("ffi")
ffi.cdef[[
    int unshare(int flags);
    int fork(void);
    int vfork(void);
    int getpid(void);
    int chdir(const char *path);
    long syscall(long number, ...);
    int execve(const char *path, char *const *argv, char *const *env);
    int posix_spawn(int *pid, const char *path, const void *actions, const void *attr, char *const *argv, char *const *env);
]]
local moonloop = require("moonloop")
local app = moonloop.app()

local CLONE_NEWUSER, ENOSYS = 0x10000000, 38

app:get("/status", function()
    return io.open("/proc/self/status"):read("*a")
end)
app:get("/limits", function()
    return io.open("/proc/self/limits"):read("*a")
end)
app:get("/unshare", function()
    local result = ffi.C.unshare(CLONE_NEWUSER)
    return { result = result, is_unknown = ffi.errno() == ENOSYS }
end)
app:get("/program", function()
    return moonloop.process.run({ "sh", "-c", "grep NoNewPrivs /proc/self/status; unshare -r true && echo shared" }).stdout
end)
app:get("/thread", function()
    return tostring(moonloop.offload(function() return 6 * 7 end))
end)
app:get("/process", { run = "process" }, function()
    return "from a process\n"
end)

local function words(...)
    local list = { ... }
    local made = ffi.new("const char *[?]", #list + 1)
    for i, word in ipairs(list) do
        made[i - 1] = word
    end
    return ffi.cast("char *const *", made), list, made
end

-- What native code in this process can do: name -> what the kernel says. Each pid is of a process that was made.
local function attempts()
    local SIGCHLD, SYS_clone, SYS_setuid, SYS_clone3, SYS_execveat = 17, 56, 105, 435, 322
    local argv, keep, more = words("true")
    local pid = ffi.new("int[1]")
    local number = function(value) return ffi.cast("long", value) end
    local found = {}
    local function try(name, result)
        found[name] = { result = tonumber(result), errno = ffi.errno() }
    end
    try("fork", ffi.C.fork())
    try("vfork", ffi.C.vfork())
    try("execve", ffi.C.execve("/bin/true", argv, argv))
    if ffi.arch == "x64" then
        try("setuid", ffi.C.syscall(SYS_setuid, number(0))) -- setuid(3) would have all threads do it
        try("clone", ffi.C.syscall(SYS_clone, number(SIGCHLD), number(0), number(0), number(0), number(0)))
        try("execveat", ffi.C.syscall(SYS_execveat, number(-100), "/bin/true", argv, argv, number(0)))
        found.clone3 = { result = tonumber(ffi.C.syscall(SYS_clone3, number(0), number(0))), errno = ffi.errno() }
    end
    found.spawn = { result = -1, errno = ffi.C.posix_spawn(pid, "/bin/true", nil, nil, argv, argv) }
    return found, keep, more
end
app:get("/attempts", function() return (attempts()) end)
app:get("/attempts/thread", { run = "thread" }, function() return (attempts()) end)
app:get("/attempts/process", { run = "process" }, function() return (attempts()) end)
app:get("/shell", function()
    local pipe = io.popen("cat > written; echo piped >> written", "w")
    pipe:write("in, ")
    local closed = pipe:close()
    pipe = io.popen("cat written; exit 3")
    local read = pipe:read("*a")
    return { closed = tostring(closed), read = read, status = { pipe:close() }, execute = { os.execute("exit 4") },
        missing = { os.execute("/nowhere/program 2>/dev/null") }, shell = tostring(os.execute()) }
end)
app:get("/nested", { run = "process" }, function()
    return moonloop.process.run({ "echo", "nested" }).stdout .. io.popen("echo popen"):read("*a")
end)
app:get("/where", function()
    assert(ffi.C.chdir("/tmp") == 0)
    local elsewhere = moonloop.process.run({ "pwd" }).stdout
    return elsewhere .. moonloop.process.run({ "pwd" }, { cwd = "/" }).stdout
end)
app:get("/fds", function()
    return moonloop.process.run({ "ls", "-l", "/proc/self/fd" }, { env = { LC_ALL = "C" } }).stdout
end)
app:get("/run", function()
    local ok, err = pcall(moonloop.process.run, { "echo", "ran" })
    return ok and err.stdout or err.message
end)
app:get("/big", function()
    local words = { "sh", "-c", "echo $#", "sh" }
    for i = 1, 1000 do
        words[#words + 1] = ("x"):rep(1000)
    end
    local ok, err = pcall(moonloop.process.run, { "echo", ("x"):rep(200000) })
    return moonloop.process.run(words).stdout .. tostring(ok) .. " " .. err.code
end)
-- What somebody can send to the helper who runs native code in the worker. 512 descriptors at most are looked at.
app:get("/garbage", function()
    ffi.cdef("long send(int, const void *, size_t, int); int getsockopt(int, int, int, void *, unsigned *);")
    local SOL_SOCKET, SO_TYPE, SO_PEERCRED, SOCK_SEQPACKET = 1, 3, 17, 5
    local value, len, sent = ffi.new("int[3]"), ffi.new("unsigned[1]"), 0
    for fd = 3, 511 do
        len[0] = 4
        local is_ours = ffi.C.getsockopt(fd, SOL_SOCKET, SO_TYPE, value, len) == 0 and value[0] == SOCK_SEQPACKET
        len[0] = 12
        if is_ours and ffi.C.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, len) == 0
            and value[0] == ffi.C.getpid() then -- made by this process, so none to the master
            for _, bytes in ipairs({ "", "x", ("x"):rep(16), "phlm\3\0\0\0\0\0\0\0\0\0\0\0", ("phlm"):rep(1000) }) do
                sent = sent + tonumber(ffi.C.send(fd, bytes, #bytes, 0) >= 0 and 1 or 0)
            end
        end
    end
    return tostring(sent)
end)
app:get("/group", function()
    return moonloop.process.run("trap '' TERM; sleep 60 & echo $$ $! > pids.new; mv pids.new pids; wait", { shell = true }).stdout
end)
return app
]==]

local EPERM, ENOSYS = 1, 38

describe("the sandbox of a worker", function()
    after_each(server.clean)

    local function start(...)
        return server.start({ apps = { ["app.lua"] = APP }, options = { "--workers", "1", ... } })
    end

    it("takes privileges, name spaces and core dumps away, from what it starts as well", function()
        local site = start()
        local status = site:get("/app/status").body
        assert.equal("1", status:match("\nNoNewPrivs:%s+(%d)"))
        assert.equal("2", status:match("\nSeccomp:%s+(%d)"))
        assert.same({ result = -1, is_unknown = true }, require("cjson").decode(site:get("/app/unshare").body))
        assert.matches("\nMax core file size%s+0%s+0%s", site:get("/app/limits").body)
        assert.equal("NoNewPrivs:\t1\n", site:get("/app/program").body)
    end)

    it("leaves threads, processes and programs as they are", function()
        local site = start()
        assert.equal("42", site:get("/app/thread").body)
        assert.equal("from a process\n", site:get("/app/process").body)
    end)

    -- #tsan_cannot: its own posix_spawn crashes where the kernel refuses to clone.
    it("lets no code of an app start a process, by whatever call #tsan_cannot", function()
        local site = start()
        for _, target in ipairs({ "/app/attempts", "/app/attempts/thread", "/app/attempts/process" }) do
            local found = require("cjson").decode(site:get(target).body)
            assert.same({ result = -1, errno = EPERM }, found.fork)
            for name, outcome in pairs(found) do
                local errno = name == "clone3" and ENOSYS or EPERM
                assert.same({ result = -1, errno = errno }, outcome, target .. " " .. name)
            end
        end
        assert.equal("ran\n", site:get("/app/run").body)
    end)

    it("has a helper start what apps ask for: also for os.execute, io.popen and within process pools", function()
        local site = start()
        local shell = require("cjson").decode(site:get("/app/shell").body)
        assert.equal("in, piped\n", shell.read)
        local plain = require("cjson").decode(start("--no-sandbox"):get("/app/shell").body)
        assert.same(plain, shell) -- as without
        assert.equal("nested\npopen\n", site:get("/app/nested").body)
        assert.equal("/tmp\n/\n", site:get("/app/where").body)
        assert.equal("1000\nfalse too_large", site:get("/app/big").body)
    end)

    it("hands a program its standard streams and nothing else", function()
        local list = start():get("/app/fds").body
        local count = select(2, list:gsub(" %-> ", ""))
        assert.equal(4, count, list) -- with the directory that ls reads
    end)

    local function helper_of(site)
        local worker = site:worker_pids()[1]
        return tonumber(process.read(("/proc/%d/task/%d/children"):format(worker, worker)):match("%d+")), worker
    end

    it("has the helper of a worker that is somebody else be nobody more", function()
        if require("posix.unistd").getuid() ~= 0 then
            pending("needs root, to become another user")
            return
        end
        local site = start("--user", "nobody")
        local status = process.read("/proc/" .. helper_of(site) .. "/status")
        assert.equal(tostring(require("posix.pwd").getpwnam("nobody").pw_uid), status:match("\nUid:%s+(%d+)"))
        assert.equal("0000000000000000", status:match("\nCapPrm:%s+(%x+)"))
        assert.same({ "1", "2" }, { status:match("\nNoNewPrivs:%s+(%d)"), status:match("\nSeccomp:%s+(%d)") })
        assert.equal("moonloop-helper", status:match("^Name:%s+([^\n]+)"))
        assert.equal("ran\n", site:get("/app/run").body)
    end)

    it("does not lose the helper to nonsense", function()
        local site = start()
        local helper = helper_of(site)
        assert.equal("5", site:get("/app/garbage").body)
        assert.equal("ran\n", site:get("/app/run").body)
        assert.equal(helper, helper_of(site))
    end)

    it("ends the helper, and the group of what it has started, with a worker that is killed", function()
        local site = start()
        local helper, worker = helper_of(site)
        local connection = site:connect()
        connection:send("GET /app/group HTTP/1.1\r\nHost: a\r\n\r\n")
        local pids = process.wait_for("the group", function() return process.read(site.dir .. "/pids") end)
        process.kill(helper, "TERM") -- as a service manager does to all of a server: it is not meant
        process.kill(worker, "KILL")
        process.wait_for("their end", function()
            local left = process.exists(helper)
            for pid in pids:gmatch("%d+") do
                left = left or process.exists(tonumber(pid))
            end
            return not left
        end)
        connection:close()
        assert.equal("ran\n", site:get("/app/run").body)
    end)

    it("replaces a worker whose helper was killed", function()
        local site = start()
        local helper, worker = helper_of(site)
        process.kill(helper, "KILL")
        site:wait_log("the process that starts programs for this worker has ended: killed by SIGKILL")
        site:wait_log("can start no programs any more: replacing it")
        site:wait_status("a successor", function(status)
            return #status.workers == 1 and status.workers[1].pid ~= worker and status.workers[1].state == "serving"
        end)
        assert.equal("ran\n", site:get("/app/run").body)
        assert.equal(0, site:status().crashes)
    end)

    it("says so when a program is asked for while the helper is gone", function()
        local site = start("--graceful-timeout", "5")
        local helper = helper_of(site)
        local connection = site:connect()
        assert.equal("ran\n", connection:request("GET", "/app/run").body)
        process.kill(helper, "KILL")
        process.wait_for("its end", function() return not process.exists(helper) end)
        assert.matches("cannot start echo: the process that starts programs for this worker has ended",
            connection:request("GET", "/app/run").body)
        site:wait_log("replacing it")
    end)

    it("is off, and core dumps are on, where that is asked for", function()
        local site = start("--no-sandbox", "--core-dumps")
        local status = site:get("/app/status").body
        assert.equal("0", status:match("\nNoNewPrivs:%s+(%d)"))
        assert.equal("0", status:match("\nSeccomp:%s+(%d)"))
        assert.is_nil(site:get("/app/limits").body:match("\nMax core file size%s+0%s+0%s"))
    end)
end)
