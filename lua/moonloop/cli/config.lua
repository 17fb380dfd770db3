--- Settles every option: the command line beats the environment beats moonloop.conf.lua beats the default.

local ffi = require("ffi")

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")
local foreign = require("moonloop.cli.foreign")
local options = require("moonloop.cli.options")
local suggest = require("moonloop.cli.suggest")
local values = require("moonloop.cli.values")

local M = {}

local CONFIG_NAME = "moonloop.conf.lua"
local FIRST_INHERITED_FD = 3
local RUN_SECONDS, INSTRUCTIONS_BETWEEN_LOOKS = 5, 10000 -- of computing

pcall(ffi.cdef, "int getpid(void);") -- others declare it too

local option_names = {}
for _, option in ipairs(options.list) do
    option_names[#option_names + 1] = option.name
end

---The line on which `key` is set, as far as the text shows it: moonloop.conf.lua is a program.
local function line_of(text, key)
    local number = 0
    local bare = "%f[%w_]" .. key .. "%f[^%w_]%s*=%f[^=]"
    local quoted = "%[%s*[\"']" .. key .. "[\"']%s*%]%s*="
    for line in (text .. "\n"):gmatch("(.-)\n") do
        number = number + 1
        local code = line:gsub("%-%-.*$", "")
        if code:find(bare) or code:find(quoted) then
            return number
        end
    end
end

local function place(file, text, key)
    local line = type(key) == "string" and key:match("^[%w_]+$") and line_of(text, key)
    return line and ("%s:%d"):format(file, line) or file
end

---Explains a name of gunicorn's that means nothing here; true when it was one.
local function explain(notes, where, name)
    if foreign.reasons[name] then
        notes[#notes + 1] = ("%s: %s is ignored: %s"):format(where, name, foreign.reasons[name])
        return true
    end
    return false
end

---@param option moonloop.cli.Option
---@param where string where the value was written, for the message
local function read_value(option, value, where)
    local result, expected = values.read(option, value)
    if result == nil then
        fault.raise(1, "%s: expected %s, got %s", where, expected, values.show(value))
    end
    return result
end

---Runs a configuration, which has an end: the master of a running server reads it, and must go on. Compiled code looks
---at no hook; from the end of its time on every instruction raises, so that no pcall keeps that for itself.
local function run_in_time(chunk, on_error)
    local clock, stop = os.clock, os.clock() + RUN_SECONDS
    local was_compiling = jit.status()
    local function raise()
        error(("the configuration ran for longer than %d s"):format(RUN_SECONDS), 2)
    end
    jit.off()
    debug.sethook(function()
        if clock() > stop then
            debug.sethook(raise, "", 1)
        end
    end, "", INSTRUCTIONS_BETWEEN_LOOKS)
    local ok, result = xpcall(chunk, function(err)
        debug.sethook()
        return on_error(err)
    end)
    debug.sethook()
    if was_compiling then
        jit.on()
    end
    return ok, result
end

local function run_file(path, text)
    local chunk, reason = loadstring(text, "@" .. path)
    if not chunk then
        fault.raise(1, "%s", reason)
    end
    local ok, result = run_in_time(chunk, function(err)
        return type(err) == "string" and err or "raised " .. values.show(err)
    end)
    if not ok then
        fault.raise(1, "%s", result:find(path, 1, true) and result or path .. ": " .. result)
    end
    if type(result) ~= "table" then
        fault.raise(1, "%s: expected the file to return a table of options, got %s", path, values.show(result))
    end
    return result
end

---Reads moonloop.conf.lua. `notes` gets what should be said at start-up.
---@param path string
---@return table<string, any> settled
function M.read_file(path, notes)
    local text, reason = files.read(path)
    if not text then
        fault.raise(1, "%s: cannot be read: %s", path, (reason:gsub("^.*: ", "")))
    end
    local settled = {}
    for key, value in pairs(run_file(path, text)) do
        local option = options.by_name[key]
        if option then
            settled[key] = read_value(option, value,
                place(path, text, key) .. ": " .. key)
        elseif not explain(notes, place(path, text, key), key) then
            fault.raise(1, "%s: unknown option %s%s", place(path, text, key), values.show(key),
                suggest.hint(tostring(key), option_names))
        end
    end
    return settled
end

---Reads the MOONLOOP_* variables.
---@param environment table<string, string>
---@return table<string, any> settled
function M.read_environment(environment, notes)
    local settled, known = {}, {}
    for _, option in ipairs(options.list) do
        known[#known + 1] = options.variable(option)
        local value = environment[options.variable(option)]
        if value then
            settled[option.name] = read_value(option, value, options.variable(option))
        end
    end
    for name in pairs(environment) do
        local key = name:match("^MOONLOOP_(.+)$")
        local is_ours = key and (options.by_name[key:lower()] or options.other_variables[name]
            or name:sub(1, #options.private_prefix) == options.private_prefix)
        if key and not is_ours and not explain(notes, name, key:lower()) then
            fault.raise(1, "unknown variable %s in the environment%s", name, suggest.hint(name, known))
        end
    end
    return settled
end

---Reads the raw strings of the command line.
---@param given table<string, any>
---@return table<string, any> settled
function M.read_flags(given)
    local settled = {}
    for name, value in pairs(given) do
        local option = options.by_name[name]
        if option then
            settled[name] = read_value(option, value, options.flag(option))
        end
    end
    return settled
end

---Which configuration file to read: --config, MOONLOOP_CONFIG, or moonloop.conf.lua where it is there.
local function find_file(named, environment)
    local path = named or environment.MOONLOOP_CONFIG
    if path then
        return files.absolute(path)
    end
    path = files.absolute(CONFIG_NAME)
    return files.exists(path) and path or nil
end

---Paths start at `base`; "-" is a stream.
local function settle_paths(settled, base)
    for _, option in ipairs(options.list) do
        local value = settled[option.name]
        if (option.type == "path" or option.type == "log") and value and option.name ~= "chdir" then
            if value == "" then
                settled[option.name] = nil
            elseif value ~= "-" then
                settled[option.name] = files.absolute(value, base)
            end
        end
    end
    for _, name in ipairs({ "certfile", "keyfile" }) do
        local paths = {}
        for i, path in ipairs(settled[name] or {}) do
            paths[i] = files.absolute(path, base)
        end
        settled[name] = settled[name] and paths
    end
    for _, list in ipairs({ settled.bind, settled.redirect_bind }) do
        for i, address in ipairs(list) do
            local mark, path = address:match("^(.-)unix:(.+)$")
            -- An abstract socket, unix:@NAME, has no place in the file system.
            if path and path:sub(1, 1) ~= "@" then
                list[i] = mark .. "unix:" .. files.absolute(path, base)
            end
        end
    end
end

--- What goes with TLS makes no sense without a certificate.
local function check_tls(settled)
    local certfile, keyfile = settled.certfile or {}, settled.keyfile or {}
    local lonely = #keyfile > 0 and "keyfile" or settled.ca_certs and settled.cert_reqs ~= "none" and "ca_certs"
        or #settled.redirect_bind > 0 and "redirect_bind" or settled.hsts > 0 and "hsts"
        or settled.strict_host and "strict_host"
    if #certfile == 0 and lonely then
        fault.raise(1, "%s: is for TLS, which needs certfile as well", lonely)
    end
    if #certfile > 0 and #keyfile > 0 and #keyfile ~= #certfile then
        fault.raise(1, "keyfile: expected as many as certfile names (%d) in the same order, or none when each"
            .. " certificate has its key in the same file, got %d", #certfile, #keyfile)
    end
end

--- proxy_protocol marks every address, as they may be marked one by one.
local function mark_addresses(settled)
    for _, list in ipairs(settled.proxy_protocol and { settled.bind, settled.redirect_bind } or {}) do
        for i, address in ipairs(list) do
            list[i] = address:find("^proxy%+") and address or "proxy+" .. address
        end
    end
end

---The sockets that a service manager has opened for us (sd_listen_fds(3)), as addresses.
---@param environment table<string, string>
---@return string[]?
local function inherited_sockets(environment)
    local count = tonumber(environment.LISTEN_FDS)
    if not count or count < 1 or tonumber(environment.LISTEN_PID) ~= ffi.C.getpid() then
        return nil
    end
    local addresses = {}
    for i = 1, count do
        addresses[i] = ("fd://%d"):format(FIRST_INHERITED_FD + i - 1)
    end
    return addresses
end

---One table from the layers, the last of which wins.
local function merge(layers)
    local settled = {}
    for _, option in ipairs(options.list) do
        settled[option.name] = option.default
        for _, layer in ipairs(layers) do
            if layer[option.name] ~= nil then
                settled[option.name] = layer[option.name]
            end
        end
    end
    return settled
end

local function is_given(layers, name)
    for _, layer in ipairs(layers) do
        if layer[name] ~= nil then
            return true
        end
    end
    return false
end

---@param flags { apps?: string }
local function finish(settled, flags, environment)
    settled.bind, settled.redirect_bind = { unpack(settled.bind) }, { unpack(settled.redirect_bind) }
    settled.chdir = settled.chdir and files.absolute(settled.chdir)
    settle_paths(settled, settled.chdir)
    mark_addresses(settled)
    check_tls(settled)
    settled.apps_dir = files.absolute(flags.apps or environment.MOONLOOP_APPS or "apps", settled.chdir)
    return settled
end

---@param flags { given: table<string, any>, config?: string, apps?: string }
---@param environment table<string, string>
---@return table<string, any> settled every option, config_file and apps_dir
---@return string[] notes what should be said at start-up
function M.settle(flags, environment)
    local notes = {}
    local config_file = find_file(flags.config, environment)
    local layers = {
        config_file and M.read_file(config_file, notes) or {},
        M.read_environment(environment, notes),
        M.read_flags(flags.given),
    }
    local settled = merge(layers)
    if settled.dev and not is_given(layers, "workers") then
        settled.workers = 1
    end
    local inherited = inherited_sockets(environment)
    if inherited and is_given(layers, "bind") then
        notes[#notes + 1] = ("bind is given, so the sockets that the service manager has opened (%s) are not used"):
            format(table.concat(inherited, ", "))
    elseif inherited then
        settled.bind = inherited
    end
    settled.config_file = config_file
    table.sort(notes)
    finish(settled, flags, environment)
    -- Who writes that a certificate is required shall not find that none is asked for.
    if is_given(layers, "cert_reqs") and settled.cert_reqs ~= "none" and not settled.ca_certs then
        fault.raise(1, "cert_reqs: which certificates clients may have is for ca_certs to say, which is missing")
    end
    return settled, notes
end

---Every option as it is when nothing is said.
---@param flags { apps?: string }
---@return table<string, any> settled
function M.defaults(flags)
    return finish(merge({}), flags, {})
end

return M
