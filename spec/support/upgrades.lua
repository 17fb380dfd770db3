--- Servers whose binary can be replaced, and upgrades of them.

local process = require("spec.support.process")
local server = require("spec.support.server")

local M = {}

---Puts a file where the binary lies, as a package manager does: by renaming.
---@param path string
---@param text? string the moonloop under test unless told
function M.install(path, text)
    process.write(path .. ".new", text or process.read(server.binary))
    assert(require("posix.sys.stat").chmod(path .. ".new", 493))
    assert(os.rename(path .. ".new", path))
end

---Starts a server from a copy of the binary: DIR/moonloop.
---@param given table as of spec.support.server
---@return spec.Server
function M.start(given)
    given.dir = given.dir or process.directory()
    given.binary = given.dir .. "/moonloop"
    given.env = given.env or {}
    given.env.MOONLOOP_LUA_DIR = given.env.MOONLOOP_LUA_DIR or require("posix.unistd").getcwd() .. "/lua"
    M.install(given.binary)
    return server.start(given)
end

---Waits until the log has a text so often.
function M.wait_count(site, text, times)
    process.wait_for(("%q %d times"):format(text, times), function()
        return select(2, site:log():gsub(text, "")) >= times
    end, 30)
end

---Asks for an upgrade and waits until none but the new workers are left.
---@param site spec.Server
---@param times integer how many there were then
function M.run(site, times)
    local before = {}
    for _, worker in ipairs(site:status().workers) do
        before[worker.pid] = true
    end
    site:signal("USR2")
    M.wait_count(site, "the upgrade is done", times)
    process.wait_for("the former workers to leave", function()
        for pid in pairs(before) do
            if process.exists(pid) then
                return false
            end
        end
        return true
    end, 30)
end

---What an app begins with whose proof waits: it says so in a file, DIR/proof, and goes on when DIR/go is there.
M.WAITING_PROOF = [[
    if io.open("/proc/self/cmdline"):read("*a"):find("--prove-upgrade", 1, true) then
        io.open("proof", "w"):close()
        while not io.open("go") do
            os.execute("sleep 0.02")
        end
    end
]]

---Asks for an upgrade of such a server, calls `fn` while the proof waits, lets it go on, and waits until the upgrade
---is proved or refused.
---@param site spec.Server
---@param fn fun()
---@return spec.Process caller `moonloop upgrade`
function M.meanwhile(site, fn)
    os.remove(site.dir .. "/go")
    os.remove(site.dir .. "/proof")
    local caller = process.spawn({ server.binary, "upgrade", "--apps", site.apps_dir },
        { cwd = site.dir, env = site.env })
    process.wait_for("the proof", function() return process.read(site.dir .. "/proof") end)
    fn()
    process.write(site.dir .. "/go", "")
    caller:wait(30)
    return caller
end

return M
