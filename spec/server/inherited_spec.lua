--- What a worker has open: nothing of the master's, however long that has run and whatever has changed meanwhile.

local process = require("spec.support.process")
local server = require("spec.support.server")
local tls = require("spec.support.tls")
local upgrades = require("spec.support.upgrades")

local ffi = require("ffi")
ffi.cdef("long readlink(const char *path, char *text, size_t bytes);")

local APP = [[
local app = require("moonloop").app()
app:get("/", function() return "%d" end)
return app
]]

---What luaposix does not manage below /proc.
local function read_link(path)
    local text = ffi.new("char[4096]")
    local len = tonumber(ffi.C.readlink(path, text, 4096))
    return len >= 0 and ffi.string(text, len) or nil
end

---How often each kind of descriptor is open in a process; sockets by whether others of the server have them, too.
---@param pid integer
---@return table<string, integer>
local function kinds(pid)
    local counts = {}
    for _, fd in ipairs(require("posix.dirent").dir("/proc/" .. pid .. "/fd")) do
        local target = tonumber(fd) and read_link("/proc/" .. pid .. "/fd/" .. fd)
        if target then
            local kind = target:gsub(" %(deleted%)$", ""):gsub(":%[%d+%]$", ""):gsub("^/proc/[%d/task]+/stat$",
                "/proc/stat")
            counts[kind] = (counts[kind] or 0) + 1
        end
    end
    return counts
end

describe("a worker's descriptors", function()
    local directory

    setup(function() directory = tls.directory() end)
    teardown(function() require("spec.support.command").remove(directory) end)
    after_each(server.clean)

    ---With a server behind which lies much: reloads, one that was refused, certificates, an upgrade.
    local function start()
        local site = upgrades.start({
            apps = { ["index.lua"] = APP:format(0) },
            options = { "--workers", "2", "--certfile", directory .. "/good.pem", "--keyfile", directory .. "/good.key",
                "--bind", "unix:spec.sock", "--errorlog", "spec.log", "--accesslog", "spec.access", "--no-reload" },
        })
        for i = 1, 4 do
            site:write("index.lua", APP:format(i))
            assert.equal(0, site:call("reload", "--wait").code)
        end
        site:write("index.lua", "return 1 +")
        assert.equal(1, site:call("reload", "--wait").code)
        site:write("index.lua", APP:format(4))
        assert.equal(0, site:call("reload", "--wait").code)
        return site
    end

    ---@param nsockets integer those of the slot
    local function expect_few(site, pid, nsockets)
        local counts = kinds(pid)
        local dir = site.dir
        local allowed = {
            ["/dev/null"] = 1, -- standard input
            ["/memfd:snapshot"] = 1, -- of the generation that serves: for the VMs of threads and processes
            [dir .. "/spec.log"] = 1, [dir .. "/spec.access"] = 1,
            ["anon_inode:[eventpoll]"] = 1, ["anon_inode:[signalfd]"] = 1, ["anon_inode:[eventfd]"] = 1,
            ["/proc/stat"] = 1, -- how much time its thread has had
            pipe = 4, -- libuv's two, for signals
            socket = nsockets + 4, -- to the master, to the helper and its end, for messages of other workers
        }
        for kind, count in pairs(counts) do
            local is_standard = kind == site.process.out_path or kind == site.process.err_path
            assert.is_true(is_standard or count <= (allowed[kind] or 0), ("%d of %s"):format(count, kind))
        end
    end

    local function expect_few_in_all(site)
        local pids
        process.wait_for("the workers that serve", function()
            pids = site:worker_pids()
            return #pids == 2
        end)
        for _, pid in ipairs(pids) do
            expect_few(site, pid, 2)
        end
        return pids
    end

    it("are its own few, also of one that is forked late, and behind an upgrade", function()
        local site = start()
        local pids = expect_few_in_all(site)
        process.kill(pids[1], "KILL")
        site:wait_status("a successor", function(status)
            return #status.workers == 2 and status.workers[1].state == "serving"
                and status.workers[2].state == "serving"
        end)
        expect_few_in_all(site)
        assert.equal(0, site:call("upgrade").code)
        process.wait_for("other workers", function()
            local now = site:worker_pids()
            return #now == 2 and now[1] ~= pids[2] and now[2] ~= pids[2] and not process.exists(pids[2])
        end)
        expect_few_in_all(site)
    end)
end)
