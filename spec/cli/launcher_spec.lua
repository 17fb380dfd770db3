local command = require("spec.support.command")

local SOURCES = {
    -- Just enough of a project for the launcher: it knows nothing of what it builds.
    ["CMakeLists.txt"] = [[
cmake_minimum_required(VERSION 3.20)
project(small C)
file(GLOB SOURCES CONFIGURE_DEPENDS core/*.c)
add_executable(moonloop ${SOURCES})
]],
    ["core/main.c"] = [[
#include <stdio.h>
int main(int argc, char **argv) { printf("built 1, %d words, last %s\n", argc - 1, argv[argc - 1]); return 3; }
]],
    ["VERSION"] = "1\n",
    ["packages.txt"] = "# packages\nbuild gcc\nbuild no-such-package | make\ntest cmake\n",
}

--- Does without being asked for a password (-n), as where nobody sits at a terminal.
local SUDO = '[ "$1" != -n ] || shift; exec "$@"'

describe("the launcher", function()
    local dir

    before_each(function()
        dir = command.directory()
        for path, text in pairs(SOURCES) do
            command.write(dir .. "/" .. path, text)
        end
        command.run({ "cp", command.root .. "/moonloop", dir })
    end)

    after_each(function()
        command.remove(dir)
    end)

    local function launch(words, env, from)
        env = env or {}
        env.MOONLOOP_BUILD_DIR = env.MOONLOOP_BUILD_DIR or false
        env.MOONLOOP_SANITIZE = env.MOONLOOP_SANITIZE or false
        env.MOONLOOP_STRESS = env.MOONLOOP_STRESS or false
        return command.run({ dir .. "/moonloop", unpack(words) }, { env = env, cwd = from })
    end

    ---Programs that stand in for the system's, in front of PATH.
    local function stand_ins(programs)
        for name, text in pairs(programs) do
            command.write(dir .. "/bin/" .. name, "#!/bin/sh\n" .. text)
            command.run({ "chmod", "+x", dir .. "/bin/" .. name })
        end
        return { PATH = dir .. "/bin:" .. os.getenv("PATH") }
    end

    it("builds, then runs the binary with the same words and exit code", function()
        local result = launch({ "serve", "a b" }, nil, "/")
        assert.equal("built 1, 2 words, last a b\n", result.out)
        assert.equal(3, result.code)
        assert.equal("moonloop: building in " .. dir .. "/build\n", result.err)
    end)

    it("asks nobody and builds nothing when nothing changed", function()
        launch({ "x" })
        local env = stand_ins({ cmake = "echo called >&2; exit 1", ["dpkg-query"] = "echo called >&2; exit 1" })
        local result = launch({ "x" }, env)
        assert.equal("built 1, 1 words, last x\n", result.out)
        assert.equal("", result.err)
    end)

    it("builds again when a source changed, came or went", function()
        launch({ "x" })
        command.write(dir .. "/core/main.c", (SOURCES["core/main.c"]:gsub("built 1", "built 2")))
        assert.matches("built 2", launch({ "x" }).out)
        command.write(dir .. "/core/broken.c", "not C")
        assert.not_equal(3, launch({ "x" }).code)
        command.run({ "rm", dir .. "/core/broken.c" })
        assert.matches("built 2", launch({ "x" }).out)
    end)

    it("shows the compiler's words when the build fails, and does not run what was there before", function()
        launch({ "x" })
        command.write(dir .. "/core/main.c", "int main(void) { return here; }")
        local result = launch({ "x" })
        assert.equal(1, result.code)
        assert.equal("", result.out)
        assert.matches("main%.c:1:%d+: error: .*here.* undeclared", result.err)
        assert.matches("the build failed", result.err)
    end)

    it("says what to do when it cannot write where it builds", function()
        local result = launch({ "x" }, { MOONLOOP_BUILD_DIR = "/proc/none" })
        assert.equal(1, result.code)
        assert.matches("^moonloop: cannot write to /proc/none: name another place .* MOONLOOP_BUILD_DIR", result.err)
    end)

    it("builds where MOONLOOP_BUILD_DIR says, and sanitized builds in a directory of their own", function()
        launch({ "x" }, { MOONLOOP_BUILD_DIR = dir .. "/elsewhere" })
        assert.equal(0, command.run({ "test", "-x", dir .. "/elsewhere/moonloop" }).code)
        assert.equal(3, launch({ "x" }, { MOONLOOP_SANITIZE = "address,undefined" }).code)
        assert.equal(0, command.run({ "test", "-x", dir .. "/build-address-undefined/moonloop" }).code)
        assert.equal(3, launch({ "x" }, { MOONLOOP_SANITIZE = "address", MOONLOOP_STRESS = "1" }).code)
        assert.equal(0, command.run({ "test", "-x", dir .. "/build-address-stress/moonloop" }).code)
        assert.matches("expected address,undefined or thread", launch({ "x" }, { MOONLOOP_SANITIZE = "all" }).err)
    end)

    it("builds for stress in a directory of its own, beside those of the sanitizers", function()
        assert.equal(3, launch({ "x" }, { MOONLOOP_STRESS = "1" }).code)
        assert.matches("STRESS:[A-Z]+=ON", command.read(dir .. "/build-stress/CMakeCache.txt"))
        assert.equal(3, launch({ "x" }, { MOONLOOP_STRESS = "1", MOONLOOP_SANITIZE = "thread" }).code)
        assert.equal(0, command.run({ "test", "-x", dir .. "/build-thread-stress/moonloop" }).code)
        assert.matches("MOONLOOP_STRESS=yes: expected 1", launch({ "x" }, { MOONLOOP_STRESS = "yes" }).err)
    end)

    it("starts anew in a build directory that came along from another place", function()
        launch({ "x" })
        local other = command.directory()
        command.run({ "cp", "-a", dir .. "/.", other })
        command.write(other .. "/core/main.c", (SOURCES["core/main.c"]:gsub("built 1", "built 3")))
        local result = command.run({ other .. "/moonloop", "x" },
            { env = { MOONLOOP_BUILD_DIR = false, MOONLOOP_SANITIZE = false, MOONLOOP_STRESS = false } })
        assert.matches("built 3", result.out)
        command.remove(other)
    end)

    it("builds once when it is launched twice at once", function()
        local env = stand_ins({ cmake = 'echo "$@" >>' .. dir .. '/calls; PATH=${PATH#*:} exec cmake "$@"' })
        env.MOONLOOP_BUILD_DIR, env.MOONLOOP_SANITIZE, env.MOONLOOP_STRESS = false, false, false
        local result = command.run({ "sh", "-c", "./moonloop a & ./moonloop b & wait" }, { cwd = dir, env = env })
        assert.matches("last a\n", result.out)
        assert.matches("last b\n", result.out)
        local builds = select(2, command.read(dir .. "/calls"):gsub("%-%-build", ""))
        assert.equal(1, builds)
    end)

    describe("with packages missing", function()
        local DPKG = 'for name; do :; done; [ -f "%s/installed-$name" ] && printf /installed/'
        local APT = 'echo "$@" >>%s/apt; for name; do :; done; %s'

        it("says which, installs them, and takes the first of alternatives", function()
            command.write(dir .. "/packages.txt", "build first | second\nbuild third\ntest fourth\n")
            command.write(dir .. "/installed-second", "")
            local result = launch({ "x" }, stand_ins({
                ["dpkg-query"] = DPKG:format(dir),
                ["apt-get"] = APT:format(dir, ""), sudo = SUDO,
            }))
            assert.equal(3, result.code)
            assert.matches("^moonloop: installing third\n", result.err)
            assert.matches("install %-%-no%-install%-recommends third\n", command.read(dir .. "/apt"))
        end)

        it("installs those for tests with `test` only", function()
            command.write(dir .. "/packages.txt", "test fourth\n")
            local env = stand_ins({
                ["dpkg-query"] = DPKG:format(dir), ["apt-get"] = APT:format(dir, ""), sudo = SUDO,
            })
            assert.not_matches("installing", launch({ "x" }, env).err)
            assert.equal("moonloop: installing fourth\n", launch({ "test" }, env).err)
            assert.equal("", launch({ "test" }, env).err)
        end)

        it("updates the package lists once before it gives up, and says what to do by hand", function()
            command.write(dir .. "/packages.txt", "build third\n")
            local result = launch({ "x" }, stand_ins({
                ["dpkg-query"] = DPKG:format(dir),
                ["apt-get"] = APT:format(dir, "echo 'E: Unable to locate package' >&2; exit 100"),
                sudo = SUDO,
            }))
            assert.equal(1, result.code)
            assert.matches("Unable to locate package.*could not install third .*apt%-get install third\n", result.err)
            local _, calls = command.read(dir .. "/apt"):gsub("\n", "")
            assert.equal(3, calls)
        end)

        it("says so on a system without Debian's tools, and where there is no sudo", function()
            command.write(dir .. "/packages.txt", "build third\n")
            command.run({ "sh", "-c", [[mkdir tools; for tool in sh dirname readlink find tr mkdir flock env; do
                ln -s "$(command -v $tool)" tools/; done]] }, { cwd = dir })
            local result = launch({ "x" }, { PATH = dir .. "/tools" })
            assert.equal(1, result.code)
            assert.matches("not a Debian system.*MOONLOOP_SKIP_PACKAGES=1", result.err)
            command.run({ "sh", "-c", [[printf '#!/bin/sh\n' >tools/dpkg-query; printf '#!/bin/sh\necho 1000' >tools/id
                cp tools/dpkg-query tools/apt-get; chmod +x tools/*-* tools/id]] }, { cwd = dir })
            result = launch({ "x" }, { PATH = dir .. "/tools" })
            assert.equal(1, result.code)
            assert.matches("Neither root nor sudo here; as root, run: apt%-get install third\n", result.err)
        end)

        it("goes on with what is there when it is told to", function()
            command.write(dir .. "/packages.txt", "build third\n")
            assert.equal(3, launch({ "x" }, { MOONLOOP_SKIP_PACKAGES = "1" }).code)
        end)
    end)
end)
