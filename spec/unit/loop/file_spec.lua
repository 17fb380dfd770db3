--- Files on the loop, as C uses them.

local ffi = require("ffi")
local core = require("spec.support.core")
core.declare("loop/loop.h")
core.declare("loop/file.h")

local lib = core.lib
local O_RDONLY, O_WRONLY, O_CREAT, O_EXCL = 0, 1, 64, 128
local ENOENT, EEXIST = 2, 17

local function exists(path)
    local file = io.open(path, "rb")
    if file then
        file:close()
    end
    return file ~= nil
end

local function write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

describe("a file on the loop", function()
    local loop, file, path, results, on_done

    local function buf(text)
        local new = ffi.new("struct buf[1]")
        lib.buf_add(new, text, #text)
        return new
    end

    before_each(function()
        loop = lib.loop_new()
        file = lib.file_new(loop, nil)
        path = os.tmpname()
        results = {}
        on_done = ffi.cast("file_done_fn", function(_, result, bytes)
            results[#results + 1] = { tonumber(result), bytes ~= nil and ffi.string(bytes.ptr, bytes.len) or nil }
        end)
    end)

    after_each(function()
        lib.file_free(file)
        lib.loop_free(loop)
        on_done:free()
        os.remove(path)
    end)

    local function run()
        lib.loop_run(loop)
        assert.equal(0, lib.files_busy(loop))
        local all = results
        results = {}
        return all
    end

    local function open(flags)
        lib.file_open(file, path, flags, 438, on_done)
        return run()[1][1]
    end

    it("is opened, read at any place, and closed", function()
        write(path, "0123456789")
        assert.equal(0, open(O_RDONLY))
        lib.file_read(file, 4, 3, nil, on_done)
        assert.same({ { 3, "456" } }, run())
        lib.file_read(file, 8, 100, nil, on_done)
        assert.same({ { 2, "89" } }, run())
        lib.file_read(file, 10, 100, nil, on_done)
        assert.same({ { 0, "" } }, run())
        lib.file_stat(file, on_done)
        assert.same({ { 0 } }, run())
        assert.equal(10, tonumber(lib.file_info(file).size))
        assert.is_true(lib.file_info(file).is_regular)
        lib.file_close(file, on_done)
        assert.is_false(lib.file_is_open(file))
        assert.same({ { 0 } }, run())
    end)

    it("is written in several operations at once, and takes the bytes of each", function()
        assert.equal(0, open(O_WRONLY))
        local first, second = buf("hello "), buf("world")
        lib.file_write(file, 0, first, on_done)
        lib.file_write(file, 6, second, on_done)
        assert.is_true(first[0].ptr == nil and second[0].ptr == nil)
        assert.equal(2, #run())
        lib.file_sync(file, on_done)
        assert.same({ { 0 } }, run())
        assert.equal("hello world", read(path))
    end)

    it("says why something failed", function()
        os.remove(path)
        assert.equal(-ENOENT, open(O_RDONLY))
        lib.file_read(file, 0, 10, nil, on_done)
        assert.is_true(run()[1][1] < 0)
        lib.file_rename(file, path, path .. ".new", false, on_done)
        assert.equal(-ENOENT, run()[1][1])
    end)

    it("takes a new name, on the disk as well", function()
        assert.equal(0, open(O_WRONLY))
        lib.file_rename(file, path, path .. ".new", true, on_done)
        assert.same({ { 0 } }, run())
        assert.is_true(exists(path .. ".new") and not exists(path))
        os.remove(path .. ".new")
    end)

    it("that is let go of tells nobody, closes, and lets its bytes go when the threads are done", function()
        assert.equal(0, open(O_WRONLY))
        for i = 0, 9 do
            lib.file_write(file, i * 4, buf("abcd"), on_done)
        end
        lib.file_free(file)
        assert.equal(0, #run())
        assert.equal(("abcd"):rep(10), read(path))
        file = nil
    end)

    it("that is discarded leaves nothing, also when it was just being opened", function()
        os.remove(path)
        lib.file_open(file, path, O_WRONLY + O_CREAT + O_EXCL, 438, on_done)
        lib.file_discard(file, path)
        assert.equal(0, #run())
        assert.is_false(exists(path))
        file = nil
    end)

    it("that could not be made is not discarded: it is somebody else's", function()
        assert.equal(-EEXIST, open(O_WRONLY + O_CREAT + O_EXCL))
        lib.file_discard(file, path)
        assert.equal(0, #run())
        assert.is_true(exists(path))
        file = nil
    end)
end)
