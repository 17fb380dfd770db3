local core = require("spec.support.core")
local ffi = require("ffi")
local cjson = require("cjson")

core.declare("base/log.h")
pcall(ffi.cdef, "int symlink(const char *target, const char *path);")

local path

local function read()
    local file = assert(io.open(path, "rb"))
    local bytes = file:read("*a")
    file:close()
    return bytes
end

--- Logs one line with one field, returns what the file got.
local function log(format, message, name, value)
    assert.equal(0, core.lib.log_open(path, core.lib.LOG_DEBUG, format))
    local fields = ffi.new("struct log_field[1]")
    fields[0].name = name or ""
    fields[0].value = core.str(value or "")
    core.lib.log_with(core.lib.LOG_WARN, fields, name and 1 or 0, "%s", ffi.cast("const char *", message))
    core.lib.log_close()
    return read()
end

describe("the log", function()
    before_each(function()
        path = os.tmpname()
    end)
    after_each(function()
        core.lib.log_close()
        os.remove(path)
    end)

    it("writes time, level and message in one line", function()
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ warn  it works\n$",
            log(core.lib.LOG_TEXT, "it works"))
    end)

    it("writes values behind their names, quoted when they are not plain", function()
        assert.matches(' hm app=hello\n$', log(core.lib.LOG_TEXT, "hm", "app", "hello"))
        os.remove(path)
        assert.matches(' hm route="GET /x"\n$', log(core.lib.LOG_TEXT, "hm", "route", "GET /x"))
        os.remove(path)
        assert.matches(' hm x="a\\"b=\\\\"\n', log(core.lib.LOG_TEXT, "hm", "x", 'a"b=\\'), 1, true)
        os.remove(path)
        assert.matches(' hm x=""\n$', log(core.lib.LOG_TEXT, "hm", "x", ""))
    end)

    it("escapes control characters, terminal sequences and invalid UTF-8", function()
        assert.matches("a\\nb\\r\\t\\x1b[2J\\x00", log(core.lib.LOG_TEXT, "hm", "x", "a\rb"):gsub(".*", "")
            .. log(core.lib.LOG_TEXT, "a\nb\r\t\27[2J", "x", "\0"):gsub('" *x="', ""):gsub(' x="', ""), 1, true)
        os.remove(path)
        assert.matches('x="\\xc2\\x9b\\xff\\xe2\\x80\\xa8é\\xc3"', log(core.lib.LOG_TEXT, "hm", "x",
            "\194\155\255\226\128\168é\195"), 1, true)
    end)

    it("indents a value of several lines below the line", function()
        local lines = log(core.lib.LOG_TEXT, "failed", "traceback", "a.lua:1\n\tb.lua:2\n2026 error forged\27")
        assert.matches(" failed\n    a.lua:1\n        b.lua:2\n    2026 error forged\\x1b\n", lines, 1, true)
    end)

    it("writes one JSON object a line whatever the bytes", function()
        local line = log(core.lib.LOG_JSON, 'say "hi"\n\1', "app", "é\255\194\155\n\"\\")
        local _, newlines = line:gsub("\n", "")
        assert.equal(1, newlines)
        local entry = cjson.decode(line)
        assert.equal('say "hi"\n\1', entry.message)
        assert.equal("warn", entry.level)
        assert.equal("é\239\191\189\194\155\n\"\\", entry.app)
    end)

    it("leaves out what is below its level", function()
        assert.equal(0, core.lib.log_open(path, core.lib.LOG_WARN, core.lib.LOG_TEXT))
        core.lib.log_info("quiet")
        core.lib.log_warn("loud")
        assert.is_false(core.lib.log_is_on(core.lib.LOG_INFO))
        assert.is_nil(read():find("quiet"))
        assert.is_truthy(read():find("loud"))
    end)

    it("counts lines that could not be written and tells once it can again", function()
        os.remove(path)
        assert.equal(0, ffi.C.symlink("/dev/full", path))
        assert.equal(0, core.lib.log_open(path, core.lib.LOG_DEBUG, core.lib.LOG_TEXT))
        local before = core.lib.log_dropped()
        core.lib.log_error("lost")
        core.lib.log_error("lost too")
        assert.equal(2, tonumber(core.lib.log_dropped() - before))
        os.remove(path)
        assert.equal(0, core.lib.log_reopen())
        core.lib.log_error("found")
        core.lib.log_error("again")
        local text = read()
        local _, told = text:gsub("2 lines are lost", "")
        assert.equal(1, told)
        assert.is_truthy(text:find("found.*again"))
    end)

    it("keeps the old file when the new one cannot be opened", function()
        assert.equal(0, core.lib.log_open(path, core.lib.LOG_DEBUG, core.lib.LOG_TEXT))
        assert.is_true(core.lib.log_open("/nowhere/at/all", core.lib.LOG_DEBUG, core.lib.LOG_TEXT) < 0)
        core.lib.log_error("still here")
        assert.is_truthy(read():find("still here"))
    end)
end)
