--- The other end of offload.lua: what an offload thread does with a message.

local core = require("moonloop.core.thread")
local environment = require("moonloop.environment")
local errors = require("moonloop.util.errors")
local transfer = require("moonloop.transfer")

local M = {}

local apps_dir = core.apps_dir()
local shown_dir = apps_dir and (apps_dir:match("[^/]+$") or apps_dir)
local envs = {} -- by app, kept as long as the VM

local function env_of(app)
    local env = envs[app]
    if not env then
        env = environment.new(app, shown_dir or "", core)
        envs[app] = env
    end
    return env
end

local function set_path(number)
    package.path, package.cpath = core.blob(number):match("^(.-)%z(.*)$")
end

local unpacker = require("moonloop.unpacker").new(core.blob, env_of, set_path)

local function pack(...)
    local message, parts = transfer.pack(nil, "result", true, select("#", ...), ...)
    if not message then
        error("offload: " .. parts, 0)
    end
    return message, parts
end

local function run(what, ...)
    if type(what) == "function" then
        return pack(what(...))
    end
    return pack(require("moonloop.thread_route").run(env_of, ...))
end

---Runs a job. The core calls it as a task of its own.
---@param message string
---@param parts? string[] its big strings
---@return string message true and the results
---@return string[]? parts
function M.run(message, parts)
    return run(unpacker:unpack(message, parts))
end

---An error as a message; one that cannot be sent is described.
---@param err any
---@return string message
---@return string[]? parts
function M.failure(err)
    local message, parts = transfer.pack(nil, "error", false, 1, err)
    if message then
        return message, parts
    end
    return transfer.pack(nil, "error", false, 1, errors.new("error", errors.message(err)))
end

return M
