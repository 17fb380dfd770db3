--- Files that tasks wait for: moonloop.core.file.

local core = require("moonloop.core.file")
local moonloop = require("moonloop")
local settle = require("moonloop.util.errors").settle
local tasks = require("spec.support.tasks")

describe("a file", function()
    local path

    before_each(function()
        path = os.tmpname()
    end)

    after_each(function()
        os.remove(path)
        while core.count() ~= 0 do
            moonloop.sleep(0.001)
        end
    end)

    it("is written and read, in order or anywhere", function()
        local file = settle(core.open(path, "write"))
        settle(core.write(file, "hello "))
        settle(core.write(file, "world"))
        settle(core.write(file, "H", 0))
        settle(core.sync(file))
        settle(core.close(file))
        file = settle(core.open(path))
        assert.equal("Hello", settle(core.read(file, 5)))
        assert.equal(" wo", settle(core.read(file, 3)))
        assert.equal("world", settle(core.read(file, 100, 6)))
        assert.is_nil((settle(core.read(file, 100))))
        local stat = settle(core.stat(file))
        assert.same({ 11, "file" }, { stat.size, stat.kind })
        settle(core.close(file))
    end)

    it("is made anew, gone on with, or not made when it is there", function()
        local file = settle(core.open(path, "append"))
        settle(core.write(file, "a"))
        settle(core.close(file))
        file = settle(core.open(path, "append"))
        settle(core.write(file, "b"))
        settle(core.close(file))
        assert.equal("ab", settle(core.read(settle(core.open(path)), 10)))
        local ok, err = core.open(path, "create")
        assert.is_false(ok)
        assert.same({ "file", path, "EEXIST" }, { err.code, err.path, err.errno })
        assert.equal("open " .. path .. ": File exists", err.message)
    end)

    it("lets others run while it waits", function()
        local ran = false
        moonloop.spawn(function()
            ran = true
        end)
        core.open(path)
        assert.is_true(ran)
    end)

    it("says what failed where", function()
        local ok, err = core.open("/nowhere/at/all")
        assert.same({ false, "file", "ENOENT" }, { ok, err.code, err.errno })
        local file = settle(core.open(path))
        ok, err = core.write(file, "x")
        assert.same({ false, "EBADF" }, { ok, err.errno })
        assert.equal("write " .. path .. ": Bad file descriptor", err.message)
    end)

    it("is no more to be used once it is closed", function()
        local file = settle(core.open(path))
        core.drop(file)
        core.drop(file)
        local message, code = tasks.raised(core.read, file, 1)
        assert.same({ "closed", "read " .. path .. ": the file is closed" }, { code, message })
    end)

    it("is for one task at a time", function()
        local file = settle(core.open(path))
        local codes = {}
        local function read()
            local ok, err = pcall(core.read, file, 1)
            codes[#codes + 1] = ok and "good" or err.code
        end
        moonloop.gather(read, read)
        assert.same({ "misuse", "good" }, codes)
    end)

    it("is closed when the task that waits for it is cancelled", function()
        os.remove(path)
        assert(os.execute("mkfifo " .. path) == 0)
        local task = moonloop.spawn(function()
            settle(core.open(path)) -- waits for somebody who writes
        end)
        moonloop.sleep(0)
        task:cancel()
        local ok, err = pcall(task.wait, task)
        local count = core.count()
        io.open(path, "wb"):close() -- which lets the thread go
        assert.same({ false, "cancelled", 1 }, { ok, err.code, count })
    end)
end)
