local core = require("spec.support.core")
local ffi = require("ffi")
local process = require("spec.support.process")
local unistd = require("posix.unistd")
local fcntl = require("posix.fcntl")

core.declare("base/launch.h")

--- What the program printed, and how it ended. `options`: env, cwd.
local function run(argv, options)
    options = options or {}
    local path = process.directory() .. "/out"
    local out = assert(fcntl.open(path, fcntl.O_WRONLY + fcntl.O_CREAT, 384))
    local function list(words)
        local made = ffi.new("const char *[?]", #words + 1)
        for i, word in ipairs(words) do
            made[i - 1] = word
        end
        return made
    end
    local fds = ffi.new("int[3]", -1, out, out)
    local asked = ffi.new("struct launch", { cwd = options.cwd, fds = fds, nfds = 3 })
    local words, env = list(argv), options.env and list(options.env)
    asked.argv, asked.env = words, env
    local launched, ended = ffi.new("struct launched"), ffi.new("struct launch_end")
    local status = core.lib.launch(asked, launched)
    unistd.close(out)
    if status ~= 0 then
        return nil, -status, tonumber(launched.stage)
    end
    process.wait_for("its end", function()
        return core.lib.launch_has_ended(launched, ended)
    end)
    assert.is_true(process.read("/proc/" .. launched.pid .. "/stat") ~= nil) -- a zombie until it is reaped
    core.lib.launch_reap(launched, -1)
    assert.is_nil(process.read("/proc/" .. launched.pid .. "/stat"))
    assert.is_true(ended.is_known)
    return process.read(path), ended.status, ended.signal
end

local function file(text, mode)
    local path = process.directory() .. "/program"
    process.write(path, text)
    require("posix.sys.stat").chmod(path, mode)
    return path
end

describe("launch", function()
    after_each(process.clean)

    it("starts what is in the PATH of the environment that it gives", function()
        assert.same({ "hello\n", 0, 0 }, { run({ "echo", "hello" }) })
        local path = file("#!/bin/sh\necho mine $1 $X\n", 448)
        assert.same({ "mine a b c d\n", 0, 0 }, { run({ "program", "a b", "c" },
            { env = { "X=c d", "PATH=/nowhere:" .. path:match("^(.*)/") } }) })
    end)

    it("tells how it ended", function()
        assert.same({ "", 7, 0 }, { run({ "/bin/sh", "-c", "exit 7" }) })
        assert.same({ "", -1, 15 }, { run({ "/bin/sh", "-c", "kill -TERM $$" }) })
    end)

    it("gives it no descriptor, signal or terminal of ours", function()
        local stray = assert(fcntl.open("/dev/null", fcntl.O_RDONLY)) -- without O_CLOEXEC
        local shown = run({ "/bin/sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/fd/0; "
            .. "grep -E 'Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f5-7 /proc/$$/stat; echo $$" })
        unistd.close(stray)
        local fds, null, ignored, group, session, terminal, pid =
            shown:match("^(.-)\n(/%S+)\n.-SigIgn:%s*(%x+)\n(%d+) (%d+) (%-?%d+)\n(%d+)\n$")
        assert.equal("0\n1\n2", (fds:gsub("\n10$", "")))
        assert.equal("/dev/null", null)
        assert.matches("^0+$", ignored)
        assert.matches("SigBlk:%s*0+\n", shown)
        assert.same({ pid, pid, "0" }, { group, session, terminal })
    end)

    it("starts it where it should", function()
        local dir = process.directory()
        assert.same({ dir .. "\n", 0, 0 }, { run({ "/bin/pwd" }, { cwd = dir }) })
    end)

    it("tells what failed, and leaves nothing behind", function()
        local ENOENT, ENOEXEC, EACCES, ELIBACC = 2, 8, 13, 79
        local CWD, EXEC, INTERPRETER = 2, 3, 4
        assert.same({ nil, ENOENT, EXEC }, { run({ "there-is-no-such-program" }) })
        assert.same({ nil, ENOENT, EXEC }, { run({ "/nowhere/program" }) })
        assert.same({ nil, EACCES, EXEC }, { run({ file("#!/bin/sh\n", 384) }) })
        assert.same({ nil, ENOEXEC, EXEC }, { run({ file("no program\n", 448) }) })
        assert.same({ nil, ELIBACC, INTERPRETER }, { run({ file("#!/nowhere/sh\n", 448) }) })
        assert.same({ nil, ENOENT, CWD }, { run({ "/bin/pwd" }, { cwd = "/nowhere" }) })
        assert.same({ nil, EACCES, EXEC }, { run({ "program" },
            { env = { "PATH=" .. file("#!/bin/sh\n", 384):match("^(.*)/") } }) })
    end)
end)
