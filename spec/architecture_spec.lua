local architecture = require("spec.support.architecture")

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)spec/architecture_spec%.lua$")
ROOT = ROOT == "" and "./" or ROOT

describe("the architecture", function()
    it("is kept by every file", function()
        local files = architecture.read(ROOT)
        assert.is_string(files["core/base/str.h"])
        assert.equal("", table.concat(architecture.check(files), "\n"))
    end)
end)

describe("the architecture check", function()
    --- One core file beside a base header and a server header that exist.
    local function breaches(path, text)
        return architecture.check({
            ["core/base/str.h"] = "/* str */\n",
            ["core/server/worker.h"] = "/* worker */\n",
            [path] = text,
        })
    end

    it("finds an include against the order of rooms", function()
        assert.same({ "core/http/conn.c:2: http may not include server: server/worker.h" },
            breaches("core/http/conn.c", '/* x */\n#include "server/worker.h"\n#include "base/str.h"\n'))
        assert.same({}, breaches("core/main.c", '/* x */\n#include "server/worker.h"\n'))
    end)

    it("finds a header that does not exist or is named without its room", function()
        assert.same({ 'core/http/conn.c:2: "conn.h" is not room/file.h of a file in core/' },
            breaches("core/http/conn.c", '/* x */\n#include "conn.h"\n'))
        assert.same({ 'core/http/conn.c:2: "base/none.h" is not room/file.h of a file in core/' },
            breaches("core/http/conn.c", '/* x */\n#include "base/none.h"\n'))
    end)

    it("finds a library outside of its home, and one that has none", function()
        assert.same({ "core/http/conn.c:2: <uv.h> has its home elsewhere: ^loop/, ^net/" },
            breaches("core/http/conn.c", "/* x */\n#include <uv.h>\n"))
        assert.same({}, breaches("core/net/stream.c", "/* x */\n#include <uv.h>\n#include <sys/socket.h>\n"))
        assert.same({ "core/net/stream.c:2: <openssl/ssl.h> has its home elsewhere: ^net/tls, "
            .. "^net/library_memory%.c$" },
            breaches("core/net/stream.c", "/* x */\n#include <openssl/ssl.h>\n"))
        assert.same({ "core/base/str.c:1: <curl/curl.h> is no part of the C library: "
            .. "give it a home in DESIGN.md and here" }, breaches("core/base/str.c", "#include <curl/curl.h>\n"))
    end)

    it("finds a room that is not in the table", function()
        assert.same({ "core/util/x.c:1: no such room in DESIGN.md: util" }, breaches("core/util/x.c", "/* x */\n"))
    end)

    it("finds calls outside of their home, but not in comments", function()
        assert.same({ "core/script/app.c:3: lua_pcall belongs into script/vm.c alone",
            "core/script/app.c:4: lua_resume belongs into script/task.c alone" },
            breaches("core/script/app.c", "/* lua_resume(L) */\n// lua_pcall(\nlua_pcall(L, 0);\nlua_resume (L);\n"))
        assert.same({}, breaches("core/script/vm.c", "/* x */\nlua_pcall(L, 0);\n"))
        assert.same({ "core/script/app.c:2: malloc belongs into base/mem.c alone" },
            breaches("core/script/app.c", "/* x */\nmalloc(1); my_malloc(1); box->malloc = malloc;\n"))
        assert.same({}, breaches("core/fuzz/json.c", "/* x */\nmalloc(1);\n"))
    end)

    it("finds calls that are safe nowhere", function()
        assert.same({ "core/base/str.c:2: strcpy is safe nowhere: use memcpy or snprintf" },
            breaches("core/base/str.c", "/* strcpy(a, b) */\nstrcpy(a, b); my_strcpy(a, b); strtok_r(a, b, c);\n"))
    end)

    it("finds circles, files too long and files without a head", function()
        assert.same({ "core/base/a.h:2: includes itself in a circle through base/a.h" },
            breaches("core/base/a.h", '/* x */\n#include "base/a.h"\n'))
        assert.same({ "core/base/a.c:501: 501 lines; a file has at most 500" },
            breaches("core/base/a.c", "/* x */" .. ("\n;"):rep(500)))
        assert.same({ "core/base/a.c:1: neither the file nor its header begins with a comment on what it owns" },
            breaches("core/base/a.c", "int x;\n"))
        assert.same({}, breaches("core/base/str.c", "int x;\n"))
        assert.same({ "lua/moonloop/a.lua:1: the file does not begin with a comment on what it is" },
            breaches("lua/moonloop/a.lua", "return {}\n"))
    end)

    it("finds what is not pure in util", function()
        assert.same({ "lua/moonloop/util/a.lua:2: util is pure and may not require moonloop.core.json",
            "lua/moonloop/util/a.lua:3: util is pure and may not use os" },
            breaches("lua/moonloop/util/a.lua",
                '-- x\nlocal a = require("moonloop.core.json")\nlocal t = os.time() -- io.open\n'
                    .. 'local b = require("moonloop.util.b")\nlocal c = self.os.x\n'))
    end)
end)
