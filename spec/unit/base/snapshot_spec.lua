local core = require("spec.support.core")
local ffi = require("ffi")
local process = require("spec.support.process")

core.declare("base/snapshot.h")

local dir

local function own(snapshot, fault)
    assert(snapshot ~= nil, fault and ffi.string(fault.text))
    return ffi.gc(snapshot, core.lib.snapshot_free)
end

local function read()
    local fault = ffi.new("struct fault")
    return own(core.lib.snapshot_read(dir, fault), fault)
end

local function names(snapshot)
    local list = {}
    for i = 0, tonumber(core.lib.snapshot_count(snapshot)) - 1 do
        local file = core.lib.snapshot_at(snapshot, i)
        list[#list + 1] = core.text(file.layer) .. ":" .. core.text(file.name)
    end
    return list
end

local function find(snapshot, app, name)
    local file = ffi.new("struct snapshot_file")
    if core.lib.snapshot_find(snapshot, core.str(app), core.str(name), file) then
        return core.text(file.bytes)
    end
end

local function write(files)
    for name, bytes in pairs(files) do
        process.write(dir .. "/" .. name, bytes)
    end
end

describe("a snapshot", function()
    before_each(function()
        dir = process.directory()
    end)
    after_each(process.clean)

    it("holds all Lua files in order, and no temporary or hidden ones", function()
        write({
            ["b.lua"] = "b", ["a.lua"] = "", ["_lib/x.lua"] = "x", ["shop/init.lua"] = "i", [".git/y.lua"] = "y",
            ["a.lua~"] = "", ["#a.lua#"] = "", [".#a.lua"] = "", ["#b.lua"] = "", ["notes.txt"] = "",
        })
        local snapshot = read()
        assert.same({ ":_lib/x.lua", ":a.lua", ":b.lua", ":shop/init.lua" }, names(snapshot))
        assert.equal("", find(snapshot, "a", "a.lua"))
        assert.equal("x", find(snapshot, "a", "_lib/x.lua"))
        assert.is_nil(find(snapshot, "a", "c.lua"))
        assert.is_nil(find(snapshot, "a", "zzz.lua"))
    end)

    it("of an empty directory is empty", function()
        assert.same({}, names(read()))
        assert.is_nil(find(read(), "a", "a.lua"))
    end)

    it("says which directory cannot be read", function()
        local fault = ffi.new("struct fault")
        assert.is_true(core.lib.snapshot_read("/nowhere/at/all", fault) == nil)
        assert.matches("^cannot open the apps directory /nowhere/at/all: ", ffi.string(fault.text))
    end)

    it("gives up on a directory that contains itself", function()
        write({ ["a.lua"] = "a" })
        pcall(ffi.cdef, "int symlink(const char *target, const char *path);")
        assert.equal(0, ffi.C.symlink(dir, dir .. "/loop"))
        local fault = ffi.new("struct fault")
        assert.is_true(core.lib.snapshot_read(dir, fault) == nil)
        assert.matches("nested too deeply", ffi.string(fault.text))
    end)

    it("holds an app back: it sees what it saw before, the others what is new", function()
        write({ ["a.lua"] = "a1", ["b.lua"] = "b1", ["_lib/x.lua"] = "x1" })
        local good = read()
        write({ ["a.lua"] = "a2", ["b.lua"] = "b2", ["_lib/x.lua"] = "x2" })
        local fault = ffi.new("struct fault")
        local apps = ffi.new("struct str[1]", { core.str("a") })
        local mixed = own(core.lib.snapshot_hold_back(read(), good, apps, 1, fault), fault)
        assert.same({ "a1", "x1" }, { find(mixed, "a", "a.lua"), find(mixed, "a", "_lib/x.lua") })
        assert.same({ "b2", "x2" }, { find(mixed, "b", "b.lua"), find(mixed, "b", "_lib/x.lua") })

        write({ ["b.lua"] = "b3" })
        local again = own(core.lib.snapshot_hold_back(read(), mixed, apps, 1, fault), fault)
        assert.same({ "a1", "x1" }, { find(again, "a", "a.lua"), find(again, "a", "_lib/x.lua") })
        assert.equal("b3", find(again, "b", "b.lua"))
        assert.is_false(core.lib.snapshot_equal(mixed, again))
    end)

    it("is the same when mapped from its descriptor", function()
        write({ ["a.lua"] = "a1" })
        local snapshot = read()
        local fault = ffi.new("struct fault")
        local mapped = own(core.lib.snapshot_map(core.lib.snapshot_fd(snapshot), fault), fault)
        assert.is_true(core.lib.snapshot_equal(snapshot, mapped))
        assert.equal("a1", find(mapped, "a", "a.lua"))
        assert.is_true(core.lib.snapshot_equal(snapshot, read()))
    end)

    it("is refused when the bytes are none", function()
        local file = assert(io.open(dir .. "/bytes", "wb"))
        file:write(("x"):rep(4096))
        file:close()
        local fcntl = require("posix.fcntl")
        local fd = assert(fcntl.open(dir .. "/bytes", fcntl.O_RDONLY))
        local fault = ffi.new("struct fault")
        assert.is_true(core.lib.snapshot_map(fd, fault) == nil)
        assert.matches("^cannot map the apps into memory: ", ffi.string(fault.text))
        require("posix.unistd").close(fd)
    end)
end)
