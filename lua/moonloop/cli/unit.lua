--- `moonloop unit`: a systemd unit for the server that the words describe, with all that can be taken from it taken.

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")
local words = require("moonloop.cli.words")

local M = {}

local LEFT_OUT = { daemon = true, pidfile = true, user = true, group = true, control = true }
local LEFT_OUT_OF_ROOT = { daemon = true, pidfile = true, control = true }

--- With TLS the master stays root, as whom it reads keys that nobody else may read, now and when they are renewed. What
--- it is left with of root: to become the user, to give files to it, and to end its processes.
local ROOT_CAPABILITIES = "CAP_SETUID CAP_SETGID CAP_CHOWN CAP_KILL"

--- Seconds beyond graceful_timeout, after which the server itself has cut what was left.
local STOP_EXTRA = 15

---A word of ExecStart (systemd.service(5), "Command lines").
local function quote(word)
    word = word:gsub("%%", "%%%%"):gsub("%$", "$$$$")
    if word:find("[^%w%-%._/:=@%%,+]") then
        word = '"' .. word:gsub('[\\"]', "\\%0") .. '"'
    end
    return word
end

local function line_of(list)
    local quoted = {}
    for i, word in ipairs(list) do
        quoted[i] = quote(word)
    end
    return table.concat(quoted, " ")
end

---Directories that the server writes to, once each.
local function written_directories(settled)
    local list, seen = {}, {}
    local function add(path)
        if path and path ~= "-" and not seen[path] then
            seen[path] = true
            list[#list + 1] = quote(path)
        end
    end
    for _, name in ipairs({ "accesslog", "errorlog" }) do
        add(settled[name] and settled[name]:match("^(.*)/[^/]*$"))
    end
    add(settled.shared_path)
    for _, address in ipairs(settled.bind) do
        add(address:gsub("^proxy%+", ""):match("^unix:(/.*)/[^/]*$"))
    end
    return list
end

local function needs_low_port(settled)
    for _, port in ipairs(words.ports(settled.bind)) do
        if port ~= 0 and port < 1024 then
            return true
        end
    end
    return false
end

---Whom the service runs as.
local function user_lines(settled)
    if settled.certfile then
        return { "# The master reads the keys as root; the workers, who run the apps, are " .. settled.user .. "." }
    end
    return {
        settled.user and "User=" .. settled.user or "DynamicUser=yes",
        settled.group and "Group=" .. settled.group or nil,
    }
end

local function capability_lines(settled)
    local list = {}
    list[#list + 1] = settled.certfile and ROOT_CAPABILITIES or nil
    list[#list + 1] = needs_low_port(settled) and "CAP_NET_BIND_SERVICE" or nil
    local names = table.concat(list, " ")
    return { "CapabilityBoundingSet=" .. names, "AmbientCapabilities=" .. (settled.certfile and "" or names) }
end

---@param name string of the unit
---@param binary string
---@param settled table<string, any>
---@param given table<string, any>
---@return string
function M.text(name, binary, settled, given)
    local control = ("/run/%s/control.sock"):format(name)
    local start = { binary, "serve", "--control", control }
    for _, word in ipairs(words.of(given, settled, settled.certfile and LEFT_OUT_OF_ROOT or LEFT_OUT)) do
        start[#start + 1] = word
    end
    start[#start + 1] = settled.apps_dir
    local lines = {
        ("# systemctl daemon-reload && systemctl enable --now %s"):format(name),
        ("# What it is doing: %s"):format(line_of({ binary, "status", "--control", control })),
        "[Unit]",
        "Description=moonloop serving " .. settled.apps_dir:gsub("%%", "%%%%"),
        "Documentation=man:moonloop(1)",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "# It says itself when it serves, reloads and stops, and that it is alive.",
        "Type=notify",
        "NotifyAccess=main",
        "ExecStart=" .. line_of(start),
        "ExecReload=" .. line_of({ binary, "reload", "--wait", "--control", control }),
        "WatchdogSec=30",
        "Restart=always",
        "RestartSec=1",
        "# TERM to the master alone, which has its workers finish their requests.",
        "KillMode=mixed",
        ("TimeoutStopSec=%d"):format(math.ceil(settled.graceful_timeout) + STOP_EXTRA),
        "# A worker that the kernel kills for its memory is replaced: the service goes on.",
        "OOMPolicy=continue",
        "LimitNOFILE=65536",
        "LimitCORE=0",
    }
    local rest = {
        "RuntimeDirectory=" .. name,
        "RuntimeDirectoryMode=0700",
        "UMask=0027",
        "",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "RemoveIPC=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
        "# MemoryDenyWriteExecute stays off: LuaJIT makes machine code.",
    }
    for _, list in ipairs({ user_lines(settled), rest, capability_lines(settled) }) do
        for _, line in ipairs(list) do
            lines[#lines + 1] = line
        end
    end
    local directories = written_directories(settled)
    if #directories > 0 then
        lines[#lines + 1] = "ReadWritePaths=" .. table.concat(directories, " ")
    end
    lines[#lines + 1] = "\n[Install]\nWantedBy=multi-user.target\n"
    return table.concat(lines, "\n")
end

---@param parsed table
---@param settled table<string, any>
---@return integer exit code
function M.run(parsed, settled)
    local name = parsed.service or "moonloop"
    if not name:match("^[%w][%w_%-]*$") then
        fault.raise(2, "unit: %q cannot be the name of a unit: letters, digits, - and _", name)
    end
    if settled.certfile and not settled.user then
        fault.raise(1, "unit: with certfile the keys stay readable for root alone, and workers become another user:"
            .. " name it with --user (adduser --system --group --no-create-home moonloop makes one)")
    end
    if not files.is_directory(settled.apps_dir) then
        io.stderr:write(("moonloop: %s: no such directory on this machine\n"):format(settled.apps_dir))
    end
    io.stdout:write(M.text(name, files.own_binary(), settled, parsed.given))
    return 0
end

return M
