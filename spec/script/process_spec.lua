--- moonloop.process, inside the runtime, with real programs.

local failure = require("spec.support.tasks").failure
local moonloop = require("moonloop")
local support = require("spec.support.process")
local process = moonloop.process

--- Waits until `probe` holds; the spec's own timeout is the limit.
local function wait_until(probe)
    while not probe() do
        moonloop.sleep(0.005)
    end
end

local function is_gone(pid)
    return support.read("/proc/" .. pid .. "/stat") == nil
end

--- The ids of those children of ours that have ended and were not reaped.
local function zombies()
    local own, list = tostring(require("posix.unistd").getpid()), {}
    for name in require("posix.dirent").files("/proc") do
        local stat = name:match("^%d+$") and support.read("/proc/" .. name .. "/stat") or ""
        local state, parent = stat:match("^%d+ %b() (%a) (%d+)")
        if state == "Z" and parent == own then
            list[#list + 1] = name
        end
    end
    return list
end

local function sh(command, options)
    options = options or {}
    options.shell = true
    return process.run(command, options)
end

describe("process.run", function()
    after_each(support.clean)

    it("gives what a program wrote and how it ended", function()
        local result = process.run({ "/bin/sh", "-c", "echo out; echo err >&2; exit 3" })
        assert.same({ 3, nil, false, "out\n", "err\n", false },
            { result.status, result.signal, result.ok, result.stdout, result.stderr, result.timed_out })
        assert.is_true(result.duration > 0 and result.duration < 5)
        assert.is_true(process.run({ "true" }).ok)
    end)

    it("names the signal that ended it", function()
        local result = sh("kill -USR1 $$")
        assert.is_nil(result.status)
        assert.equal("USR1", result.signal)
        assert.is_false(result.ok)
    end)

    it("passes arguments as they are, and asks a shell only when told to", function()
        assert.equal("$HOME; a  b\n", process.run({ "echo", "$HOME;", "a  b" }).stdout)
        assert.equal("2\n", process.run("echo $((1 + 1))", { shell = true }).stdout)
        assert.equal("/bin/bash\n", process.run("echo $BASH", { shell = "/bin/bash" }).stdout)
    end)

    it("feeds a string, a file, an iterator, or nothing", function()
        assert.equal("a string", process.run({ "cat" }, { stdin = "a string" }).stdout)
        assert.equal("", process.run({ "cat" }).stdout)
        assert.equal("", process.run({ "cat" }, { stdin = "" }).stdout)
        local path = support.directory() .. "/text"
        support.write(path, "first\nsecond\n")
        local file = assert(io.open(path))
        assert.equal("first", file:read("*l"))
        assert.equal("second\n", process.run({ "cat" }, { stdin = file }).stdout)
        file:close()
        local left = 3
        assert.equal("321", process.run({ "cat" }, { stdin = function()
            moonloop.sleep(0.001)
            left = left - 1
            return left >= 0 and tostring(left + 1) or nil
        end }).stdout)
    end)

    it("puts outputs where it is told", function()
        local both = sh("echo a; echo b >&2; echo c", { stderr = "stdout" })
        assert.equal("a\nb\nc\n", both.stdout)
        assert.is_nil(both.stderr)
        local none = sh("echo a; echo b >&2", { stdout = "discard", stderr = "discard" })
        assert.is_nil(none.stdout)
        assert.is_nil(none.stderr)
        local path = support.directory() .. "/out"
        local file = assert(io.open(path, "w"))
        file:write("first\n")
        sh("echo second", { stdout = file })
        file:write("third\n")
        file:close()
        assert.equal("first\nsecond\nthird\n", support.read(path))
    end)

    it("moves 100 MB both ways at once", function()
        local data = ("0123456789abcdef"):rep(6553600)
        local result = process.run({ "cat" }, { stdin = data, max_output = 2 ^ 27 })
        assert.is_true(result.stdout == data)
    end)

    it("has two outputs full at once", function()
        local result = process.run({ "python3", "-c",
            "import sys\nfor i in range(3000): sys.stderr.write('e' * 1000); sys.stdout.write('o' * 1000)" })
        assert.equal(3000000, #result.stdout)
        assert.equal(3000000, #result.stderr)
    end)

    it("does not mind a program that leaves its input unread", function()
        assert.is_true(process.run({ "true" }, { stdin = ("x"):rep(1e7) }).ok)
        assert.is_true(process.run({ "true" }, { stdin = function() return ("x"):rep(1e6) end }).ok)
        assert.equal("xx", process.run({ "head", "-c", "2" }, { stdin = function() return "xxxx" end }).stdout)
    end)

    it("ends an iterator that still waits when the program has ended", function()
        local ended
        process.run({ "true" }, { stdin = function()
            local ok, err = pcall(moonloop.sleep, 60)
            ended = not ok and err.code
            error(err, 0)
        end })
        assert.equal("cancelled", ended)
    end)

    it("ends the program when its iterator fails", function()
        local err = failure(process.run, { "cat" }, { stdin = function() error("no more") end })
        assert.matches("no more", err.message)
        assert.matches("gave a number", failure(process.run, { "cat" }, { stdin = function() return 5 end }).message)
    end)

    it("adds to the environment, takes from it, or begins with none", function()
        local result = sh("echo $A,$HOME,${PATH:+path}", { env = { A = "1 2", HOME = false } })
        assert.equal("1 2,,path\n", result.stdout)
        assert.equal("B=2\n", process.run({ "env" }, { clean_env = true, env = { B = "2" } }).stdout)
        assert.equal("", process.run({ "/usr/bin/env" }, { clean_env = true }).stdout)
    end)

    it("looks for the program in the PATH that it gives", function()
        local dir = support.directory()
        support.write(dir .. "/mine", "#!/bin/sh\necho mine\n")
        require("posix.sys.stat").chmod(dir .. "/mine", 448)
        assert.equal("mine\n", process.run({ "mine" }, { env = { PATH = dir .. ":/bin" } }).stdout)
        assert.equal("mine\n", process.run({ "./mine" }, { cwd = dir }).stdout)
    end)

    it("raises `failed` with `check`, naming the last line of complaint", function()
        local err = failure(sh, "echo part; echo one >&2; echo 'it is broken' >&2; exit 4", { check = true })
        assert.equal("failed", err.code)
        assert.equal("process: /bin/sh exited with 4: it is broken", err.message)
        assert.same({ 4, "part\n" }, { err.status, err.stdout })
        assert.equal("process: /bin/sh was ended by KILL", failure(sh, "kill -9 $$", { check = true }).message)
        assert.is_true(process.run({ "true" }, { check = true }).ok)
    end)

    it("finds the last line of complaint behind long ones, and blanks behind it, at once", function()
        local began = os.clock()
        local err = failure(sh, "head -c 100000 /dev/zero | tr '\\0' x >&2; printf '\\n %s \\n\\n' end >&2; exit 4",
            { check = true })
        assert.equal("process: /bin/sh exited with 4:  end", err.message)
        assert.is_true(os.clock() - began < 1) -- it was a minute and a half
        local silent = failure(sh, "printf ' \\n\\n' >&2; exit 4", { check = true })
        assert.equal("process: /bin/sh exited with 4", silent.message)
    end)

    it("keeps loop and other tasks going", function()
        local turns = 0
        local ticker = moonloop.spawn(function()
            while true do
                moonloop.sleep(0.005)
                turns = turns + 1
            end
        end)
        process.run({ "sleep", "0.1" })
        ticker:cancel()
        assert.is_true(turns >= 5)
    end)

    it("raises `too_large` for more than max_output, with what there was", function()
        local err = failure(process.run, { "yes" }, { max_output = 1000 })
        assert.equal("too_large", err.code)
        assert.equal("process: yes wrote more than max_output (1000 bytes) to stdout", err.message)
        assert.equal(1000, #err.stdout)
        assert.equal("too_large", failure(sh, "yes >&2", { max_output = 1000 }).code)
        assert.equal(1000, #sh("head -c 1000 /dev/zero", { max_output = 1000 }).stdout)
    end)

    it("is of use on an offload thread", function()
        assert.equal("there\n", moonloop.offload(function()
            return require("moonloop").process.run({ "echo", "there" }).stdout
        end))
    end)
end)

describe("the end of a process", function()
    after_each(support.clean)

    it("comes at its timeout, for the whole group, with what it wrote", function()
        local err = failure(sh, "sleep 60 & echo $$ $!; sleep 60", { timeout = 0.1 })
        assert.same({ "timeout", "process: /bin/sh took more than 0.1 s", true, "TERM" },
            { err.code, err.message, err.timed_out, err.signal })
        local leader, other = err.stdout:match("^(%d+) (%d+)\n$")
        assert.is_true(is_gone(leader))
        wait_until(function() return not support.exists(other) end)
    end)

    it("comes with KILL when TERM is not heard", function()
        local err = failure(sh, "trap '' TERM; echo ready; while :; do sleep 0.01; done",
            { timeout = 0.1, grace = 0.1 })
        assert.equal("timeout", err.code)
        assert.equal("KILL", err.signal)
        assert.equal("ready\n", err.stdout)
    end)

    it("comes with the deadline of the scope around it", function()
        local err = failure(moonloop.timeout, 0.1, sh, "echo $$; sleep 60")
        assert.equal("timeout", err.code)
        assert.matches("^the deadline .*has passed, while /bin/sh ran$", err.message)
        wait_until(function() return is_gone(err.stdout:match("%d+")) end)
    end)

    it("comes when its task is cancelled, after a grace to clean up in", function()
        local path = support.directory() .. "/cleaned"
        local task = moonloop.spawn(sh, "trap 'echo yes > " .. path .. "; exit' TERM; : > " .. path
            .. "; while :; do sleep 0.01; done")
        wait_until(function() return support.read(path) end)
        task:cancel()
        assert.equal("cancelled", failure(task.wait, task).code)
        wait_until(function() return support.read(path) == "yes\n" end)
    end)

    it("does not wait for others of its group that hold its outputs", function()
        local begin = moonloop.now()
        local result = sh("sleep 60 & echo $!")
        assert.is_true(moonloop.now() - begin < 5)
        local other = result.stdout:match("%d+")
        wait_until(function() return not support.exists(other) end)
    end)

    it("does not wait for those that have left its group either, nor lose what they wrote", function()
        local result = sh("setsid sh -c 'echo early; echo $$; exec sleep 60' & sleep 0.05")
        local other = result.stdout:match("^early\n(%d+)\n$")
        support.kill(tonumber(other), "KILL")
    end)

    it("takes along others of its group that hold nothing", function()
        local other = sh("sleep 60 >/dev/null 2>&1 & echo $!").stdout:match("%d+")
        wait_until(function() return not support.exists(other) end)
    end)

    it("is told as well as can be when somebody else has waited for it", function()
        local p = process.spawn({ "true" })
        require("posix.sys.wait").wait(p.pid)
        local err = failure(p.wait, p)
        assert.same({ "system", "process: true ended, and somebody else has taken its status" },
            { err.code, err.message })
    end)

    it("is seen although SIGCHLD was ignored when moonloop began", function()
        local path = support.directory() .. "/script.lua"
        support.write(path, 'print(require("moonloop").process.run({ "sh", "-c", "exit 5" }).status)')
        assert.equal("5\n", process.run({ "python3", "-c",
            "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
                .. " os.execv(sys.argv[1], sys.argv[1:])",
            require("spec.support.server").binary, "run", path }).stdout)
    end)

    it("gives a program no descriptor of ours, and a session of its own", function()
        local stray = io.open("/dev/null") -- without O_CLOEXEC
        local shown = process.run({ "python3", "-c", [[
import os, signal
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:4])
print(os.readlink("/proc/self/fd/0"))
print(os.getsid(0) == os.getpid() == os.getpgid(0))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGHUP))
]] }).stdout
        stray:close()
        assert.equal("[0, 1, 2, 3]\n/dev/null\nTrue\nset() 0\n", (shown:gsub("Handlers.SIG_DFL", "0")))
    end)

    it("leaves neither zombies nor descriptors nor handles", function()
        local function held()
            collectgarbage()
            local count = 0
            for _ in require("posix.dirent").files("/proc/self/fd") do
                count = count + 1
            end
            return count
        end
        process.run({ "true" })
        moonloop.sleep(0)
        local before, handles = held(), require("moonloop.core.task").counts().handles
        for i = 1, 30 do
            process.run({ "cat" }, { stdin = "x" })
            pcall(process.run, { "no-such-program" })
            pcall(moonloop.timeout, 0.001 * (i % 3), process.run, { "sleep", "60" })
        end
        wait_until(function()
            return require("moonloop.core.task").counts().handles == handles
        end)
        assert.equal(before, held())
        assert.same({}, zombies())
    end)
end)

describe("processes that are used in any way", function()
    after_each(support.clean)

    local uses = {
        function(p) p:wait() end,
        function(p) p:write(("x"):rep(200000)) end,
        function(p) p:close_stdin() p:read("all") end,
        function(p) p:kill(math.random(2) == 1 and "KILL" or "TERM") end,
        function(p) p:write("x\n") p:read("line") end,
        function() collectgarbage("step") end,
        function() moonloop.sleep(math.random() * 0.01) end,
        function() error("a failure") end,
    }

    it("leave nothing behind, however their scopes end", function()
        local seed = os.time()
        math.randomseed(seed)
        local counts = require("moonloop.core.task").counts
        moonloop.sleep(0)
        local handles, pids = counts().handles, {}
        local tasks = {}
        for i = 1, 100 do
            tasks[i] = moonloop.spawn(pcall, moonloop.timeout, math.random() * 0.2, function()
                local p = process.spawn({ ({ "cat", "sleep", "true", "yes" })[math.random(4)], "60" },
                    { grace = math.random() * 0.1 })
                pids[#pids + 1] = p.pid
                for _ = 1, 4 do
                    moonloop.spawn(uses[math.random(#uses)], p)
                    uses[math.random(#uses)](p)
                end
            end)
        end
        for _ = 1, 20 do
            moonloop.sleep(0.005)
            tasks[math.random(#tasks)]:cancel()
        end
        for _, task in ipairs(tasks) do
            pcall(task.wait, task)
        end
        wait_until(function()
            for _, pid in ipairs(pids) do
                if not is_gone(pid) then
                    return false
                end
            end
            return counts().handles == handles
        end)
        assert.same({}, zombies(), "seed " .. seed)
    end)
end)

describe("a program that cannot be started", function()
    after_each(support.clean)

    local function file(text, mode)
        local path = support.directory() .. "/program"
        support.write(path, text)
        require("posix.sys.stat").chmod(path, mode)
        return path
    end

    local function code_and_message(argv, options)
        local err = failure(process.run, argv, options)
        return { err.code, err.message }
    end

    it("has a reason and a code", function()
        assert.same({ "not_found", "process: cannot start no-such: no such program in PATH (/bin:/usr/bin)" },
            code_and_message({ "no-such" }, { env = { PATH = "/bin:/usr/bin" } }))
        assert.same({ "not_found", "process: cannot start /no/such: there is no such file" },
            code_and_message({ "/no/such" }))
        local plain = file("#!/bin/sh\n", 384)
        assert.same({ "permission", "process: cannot start " .. plain .. ": no permission to execute it (chmod +x?)" },
            code_and_message({ plain }))
        local text = file("just text\n", 448)
        assert.same({ "not_executable", "process: cannot start " .. text
            .. ": neither a program nor a script that begins with #!" }, code_and_message({ text }))
        local orphan = file("#!/no/such/interpreter\n", 448)
        assert.same({ "not_found", "process: cannot start " .. orphan
            .. ": it is there, but not the interpreter that its first line or its header names" },
            code_and_message({ orphan }))
        assert.same({ "not_found", "process: cannot start true: its working directory /no/such: "
            .. "No such file or directory" }, code_and_message({ "true" }, { cwd = "/no/such" }))
        assert.equal("too_large", code_and_message({ "true", ("x"):rep(1e6) })[1])
    end)

    it("is a mistake of the caller when it cannot be meant", function()
        local function says(text, ...)
            local err = failure(process.run, ...)
            assert.equal("string", type(err))
            assert.truthy(err:find(text, 1, true), err)
        end
        says('a string would need a shell: give a list { "ls", ... }, or shell = true', "ls -l")
        says("a list needs no shell", { "ls" }, { shell = true })
        says("got an empty list", {})
        says("expected a list { program, argument, ... }, got a nil", nil)
        says("argument 2: expected a string, got a number; use tostring()", { "sleep", 5 })
        says("argument 2 holds a NUL byte", { "echo", "a\0b" })
        says("the name of the program is empty", { "" })
        says('"cwd" is no argument: options go into a second table', { "ls", cwd = "/" })
        says("the list has a hole before it", { "ls", [3] = "x" })
        says('unknown option "timout"; did you mean timeout?', { "ls" }, { timout = 1 })
        says("option timeout: expected 0.001 to 31622400, got 0", { "ls" }, { timeout = 0 })
        says("option timeout: expected 0.001 to 31622400, got nan", { "ls" }, { timeout = 0 / 0 })
        says("option cwd: expected a string, got a number", { "ls" }, { cwd = 5 })
        says('option env: "A=B" is no name for a variable', { "ls" }, { env = { ["A=B"] = "x" } })
        says("option env: A: expected a string, got a number", { "ls" }, { env = { A = 5 } })
        says('option stderr: expected "capture", "discard", "inherit", "stdout" or an open file, got "null"'
            , { "ls" }, { stderr = "null" })
        says("option stdin: expected a string, an open file", { "ls" }, { stdin = 5 })
    end)

    it("is refused beyond max_processes", function()
        local first = process.spawn({ "sleep", "60" })
        local err = failure(process.run, { "true" }, { max_processes = 1 })
        assert.equal("full", err.code)
        assert.equal("process: 1 processes run already, as many as max_processes says", err.message)
        first:kill("KILL")
        first:wait()
        wait_until(function() return is_gone(first.pid) end)
        assert.is_true(process.run({ "true" }, { max_processes = 1 }).ok)
    end)

    it("needs a task", function()
        local err = failure(function()
            table.sort({ 1, 2 }, function() process.run({ "true" }) end)
        end)
        assert.equal("misuse", err.code)
    end)
end)

describe("process.spawn", function()
    it("talks to a program", function()
        local cat = process.spawn({ "cat" })
        assert.is_true(cat.running)
        cat:write("one\ntwo\nthree")
        assert.equal("one", cat:read("line"))
        assert.equal("tw", cat:read(2))
        assert.equal("o\nthree", cat:read())
        cat:write("last")
        cat:close_stdin()
        assert.equal("last", cat.stdout:read("all"))
        assert.is_nil(cat:read())
        assert.is_nil(cat:read("line"))
        assert.is_nil(cat:read(5))
        assert.equal("", cat:read("all"))
        local result = cat:wait()
        assert.same({ true, 0, 0 }, { result.ok, result.status, cat.status })
        assert.is_false(cat.running)
        assert.is_false(cat:kill())
    end)

    it("gives lines and chunks as they come", function()
        local lines = {}
        for line in process.spawn({ "printf", "a\\n\\nb" }).stdout:lines() do
            lines[#lines + 1] = line
        end
        assert.same({ "a", "", "b" }, lines)
        local count = 0
        for chunk in process.spawn({ "head", "-c", "1000000", "/dev/zero" }).stdout:chunks() do
            count = count + #chunk
        end
        assert.equal(1000000, count)
    end)

    it("keeps stderr apart, and never hangs on what nobody reads of it", function()
        local p = process.spawn("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2; echo out", { shell = true })
        assert.equal("out", p:read("line"))
        p:wait()
        local tail = p.stderr:read("all")
        assert.equal("xxend\n", tail:sub(-6))
        assert.equal(65536, #tail)
    end)

    it("holds a program back that writes faster than it is read", function()
        local yes = process.spawn({ "yes" })
        moonloop.sleep(0.05)
        local function waits()
            return (support.read("/proc/" .. yes.pid .. "/stat") or ""):match("^%d+ %b() (%a)") == "S"
        end
        wait_until(waits)
        assert.equal("y", yes:read("line"))
        yes:kill("KILL")
        assert.equal("KILL", yes:wait().signal)
    end)

    it("loses nothing to a slow reader after the end", function()
        local p = process.spawn({ "head", "-c", "120000", "/dev/zero" })
        p:wait()
        moonloop.sleep(0.6) -- past the time that open outputs are given
        assert.equal(120000, #p:read("all"))
    end)

    it("writes as fast as the program reads", function()
        local p = process.spawn("sleep 0.1; wc -c", { shell = true })
        for _ = 1, 100 do
            p:write(("x"):rep(10000))
        end
        p:close_stdin()
        p:close_stdin()
        assert.equal("1000000", p:read("line"):match("%d+"))
        assert.equal("closed", failure(p.write, p, "x").code)
    end)

    it("tells a writer that nobody reads any more", function()
        local p = process.spawn({ "true" })
        local err = failure(function()
            while true do
                p:write(("x"):rep(100000))
            end
        end)
        assert.equal("closed", err.code)
        assert.is_true(p:wait().ok)
    end)

    it("limits lines and rests", function()
        local p = process.spawn({ "printf", "0123456789\\nshort\\n" })
        local err = failure(p.read, p, "line", 5)
        assert.equal("too_large", err.code)
        assert.equal("process: stdout has a line of more than 5 bytes", err.message)
        assert.equal("0123456789", p:read("line", 10))
        assert.equal("too_large", failure(p.read, p, "all", 3).code)
        assert.equal("short\n", p:read("all", 6))
    end)

    it("can be waited for by several, again and again", function()
        local p = process.spawn({ "sh", "-c", "read line; exit 5" })
        local first, second = moonloop.spawn(p.wait, p), moonloop.spawn(p.wait, p)
        moonloop.sleep(0)
        p:close_stdin()
        assert.equal(5, first:wait().status)
        assert.equal(5, second:wait().status)
        assert.equal(5, p:wait().status)
    end)

    it("gives up a wait that is cancelled, and the process goes on", function()
        local cat = process.spawn({ "cat" })
        assert.equal("timeout", failure(moonloop.timeout, 0.02, cat.read, cat).code)
        assert.equal("timeout", failure(moonloop.timeout, 0.02, cat.wait, cat).code)
        cat:write("on\n")
        assert.equal("on", cat:read("line"))
        assert.equal("timeout", failure(moonloop.timeout, 0.02, cat.write, cat, ("x"):rep(1e6)).code)
        assert.equal("closed", failure(cat.write, cat, "x").code) -- half of it was written
    end)

    it("refuses two readers of one stream", function()
        local cat = process.spawn({ "cat" })
        local reader = moonloop.spawn(cat.read, cat)
        moonloop.sleep(0)
        assert.equal("misuse", failure(cat.read, cat).code)
        cat:write("x")
        assert.equal("x", reader:wait())
    end)

    it("sends signals by name and number", function()
        local p = process.spawn("trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.01; done", { shell = true })
        assert.equal("up", p:read("line"))
        assert.is_true(p:kill("SIGUSR1"))
        assert.equal("got", p:read("line"))
        assert.equal(9, p:wait().status)
        assert.matches("there is no signal NONE", failure(p.kill, p, "NONE"))
        assert.matches("there is no signal 0.5", failure(p.kill, p, 0.5))
    end)

    it("ends at its timeout", function()
        local p = process.spawn({ "sleep", "60" }, { timeout = 0.05 })
        assert.equal("timeout", failure(p.wait, p).code)
        assert.equal("TERM", p.signal)
    end)

    it("ends with the scope that it was started in", function()
        local p, reader
        moonloop.scope(function()
            p = process.spawn({ "cat" })
        end)
        assert.equal("closed", failure(p.read, p).code)
        assert.equal("closed", failure(p.wait, p).code)
        wait_until(function() return is_gone(p.pid) end)
        moonloop.spawn(function()
            p = process.spawn({ "cat" })
            reader = true
        end):wait()
        assert.is_true(reader)
        wait_until(function() return is_gone(p.pid) end)
        pcall(moonloop.scope, function()
            p = process.spawn({ "cat" })
            error("left badly")
        end)
        wait_until(function() return is_gone(p.pid) end)
    end)

    it("tells those who wait from outside that the scope has ended", function()
        local p
        local ready = false
        local owner = moonloop.spawn(function()
            p = process.spawn({ "cat" })
            ready = true
            moonloop.sleep(60)
        end)
        wait_until(function() return ready end)
        local waiter = moonloop.spawn(function() return failure(p.wait, p).code end)
        moonloop.sleep(0)
        owner:cancel()
        assert.equal("closed", waiter:wait())
    end)

    it("lives on when its handle is dropped, until the scope ends", function()
        local pid
        moonloop.scope(function()
            pid = process.spawn({ "sleep", "60" }).pid
            collectgarbage()
            collectgarbage()
            moonloop.sleep(0.02)
            assert.is_true(support.exists(pid))
        end)
        wait_until(function() return is_gone(pid) end)
    end)

    it("is shown by moonloop ps while it runs", function()
        local function shown(pid)
            for _, row in ipairs(require("moonloop.activity").list()) do
                if row.kind == "process" and row.detail == "pid " .. pid then
                    return row.name
                end
            end
        end
        local cat = process.spawn({ "cat" })
        assert.equal("cat", shown(cat.pid))
        cat:close_stdin()
        cat:wait()
        assert.is_nil(shown(cat.pid))
    end)
end)
