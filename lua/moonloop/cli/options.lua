--- Every option of the server, once. The flags of the command line, the MOONLOOP_* variables, the keys of
--- moonloop.conf.lua, the help text, the man page and docs/options.md all come from this table.
---
--- `type` is one of the types of cli/values.lua. `flags` are further spellings of the flag (gunicorn's and
--- Flask's, where people have them in their fingers); `--name-with-dashes` and `--name_with_underscores`
--- come by themselves, and `--no-name` for a boolean. `shown` is the default as people read it.

---@class moonloop.cli.Option
---@field name string
---@field type string
---@field default? any nil: none
---@field shown? string
---@field flags? string[]
---@field metavar? string
---@field min? number
---@field max? number
---@field choices? string[]
---@field doc string one sentence or two

local M = {}

---@type moonloop.cli.Option[]
M.list = {
    {
        name = "bind", type = "list", default = { "127.0.0.1:8080" }, shown = "127.0.0.1:8080",
        flags = { "-b" }, metavar = "ADDRESS",
        doc = "Where to listen: HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N, with proxy+ in front as in"
            .. " proxy_protocol; port 0 picks a free one and prints it. May be given several times.",
    },
    {
        name = "workers", type = "count", default = 0, shown = "auto; 1 with --dev", max = 256,
        flags = { "-w" }, metavar = "N",
        doc = "Worker processes; auto is as many as the processors that this machine or container grants.",
    },
    {
        name = "threads", type = "count", default = 0, shown = "auto", max = 256, metavar = "N",
        doc = "Threads per worker for offloaded work.",
    },
    {
        name = "processes", type = "count", default = 0, shown = "auto", max = 256, metavar = "N",
        doc = "Processes per worker for routes with run = \"process\"; auto is as many as threads. They start"
            .. " with the first requests for such routes.",
    },
    {
        name = "dev", type = "boolean", default = false,
        doc = "For development: one worker, error pages with the source, refused changes shown on HTML pages.",
    },
    {
        name = "reload", type = "boolean", default = true,
        doc = "Watch the apps directory and take changes over without dropping a request.",
    },
    {
        name = "timeout", type = "seconds", default = 30, flags = { "-t" },
        doc = "How long one request may take before it is answered 504; a worker whose loop is stuck longer is"
            .. " replaced. 0: no limit.",
    },
    {
        name = "block_limit", type = "seconds", default = 1,
        doc = "How long a handler may hold the loop without yielding before it is interrupted. 0: no limit.",
    },
    {
        name = "header_timeout", type = "seconds", default = 10,
        doc = "How long a client may take to send the head of a request.",
    },
    {
        name = "body_timeout", type = "seconds", default = 30,
        doc = "How long a client may pause while it sends a body; then the answer is 408. 0: no limit.",
    },
    {
        name = "send_timeout", type = "seconds", default = 30,
        doc = "How long a client may take nothing of its answer; then the connection is reset. 0: no limit.",
    },
    {
        name = "min_body_rate", type = "bytes", default = 240,
        doc = "Bytes per second at which a client that sends a body earns back what it has waited of body_timeout;"
            .. " slower ones are answered 408. 0: no limit.",
    },
    {
        name = "min_send_rate", type = "bytes", default = 240,
        doc = "Bytes per second that a client has to take of a waiting answer, on average over send_timeout; slower"
            .. " ones are reset. 0: no limit but that.",
    },
    {
        name = "keepalive", type = "seconds", default = 75, flags = { "--keep-alive" },
        doc = "How long an idle connection is kept open.",
    },
    {
        name = "graceful_timeout", type = "seconds", default = 30,
        doc = "How long a worker that stops gives its requests to end.",
    },
    {
        name = "limit_request_line", type = "bytes", default = 8190, max = 1048576,
        doc = "The longest request line; beyond it the answer is 414.",
    },
    {
        name = "limit_request_header", type = "bytes", default = 32768, shown = "32K", max = 16777216,
        doc = "The header fields of a request, all together; beyond it the answer is 431.",
    },
    {
        name = "limit_request_fields", type = "integer", default = 100, min = 1, max = 65536, metavar = "N",
        doc = "The number of header fields of a request; beyond it the answer is 431.",
    },
    {
        name = "max_body", type = "bytes", default = 1048576, shown = "1M",
        doc = "The longest request body; beyond it the answer is 413. 0: no limit.",
    },
    {
        name = "max_connections", type = "integer", default = 10000, min = 1, max = 10000000, metavar = "N",
        doc = "Open connections per worker; beyond it the longest idle one is closed for each new one, and when none"
            .. " is idle new ones wait to be accepted.",
    },
    {
        name = "limit_connections_per_ip", type = "integer", default = 0, min = 0, max = 10000000, metavar = "N",
        doc = "Open connections of one client address, of all workers together (IPv6: of one /64); beyond it the"
            .. " answer is 503. 0: no limit.",
    },
    {
        name = "keepalive_requests", type = "integer", default = 0, min = 0, max = 4294967295, metavar = "N",
        doc = "Requests on one connection; the last is answered with Connection: close. 0: no limit.",
    },
    {
        name = "max_requests", type = "integer", default = 0, min = 0, max = 4294967295, metavar = "N",
        doc = "Replace a worker, gracefully, after that many requests. 0: never.",
    },
    {
        name = "max_requests_jitter", type = "integer", default = 0, min = 0, max = 4294967295, metavar = "N",
        doc = "Add up to that many, at random, to max_requests, so that workers do not go all at once.",
    },
    {
        name = "max_memory", type = "bytes", default = 0,
        doc = "Replace a worker, gracefully, when it has that much memory resident. 0: never.",
    },
    {
        name = "pidfile", type = "path", flags = { "--pid" },
        doc = "Write the master's process id to this file.",
    },
    {
        name = "control", type = "path", shown = ".moonloop/control.sock beside the apps",
        doc = "The socket over which status, reload, stop and the like reach the server.",
    },
    {
        name = "daemon", type = "boolean", default = false, flags = { "-D" },
        doc = "Run in the background, detached from the terminal.",
    },
    {
        name = "user", type = "text", flags = { "-u" },
        doc = "Run the workers as this user, a name or a number; a number that is no user's is the group's as well.",
    },
    {
        name = "group", type = "text", flags = { "-g" },
        doc = "Run the workers as this group, a name or a number.",
    },
    {
        name = "umask", type = "umask", default = -1, shown = "as inherited", flags = { "-m" }, metavar = "MODE",
        doc = "The file mode mask of the server, in octal.",
    },
    {
        name = "chdir", type = "path", metavar = "DIR",
        doc = "Change to this directory first: other relative paths start there, moonloop.conf.lua excepted.",
    },
    {
        name = "accesslog", type = "log", shown = "off", flags = { "--access-logfile" },
        doc = "One line a request to this file; - is standard output.",
    },
    {
        name = "errorlog", type = "log", default = "-", flags = { "--error-logfile", "--log-file" },
        doc = "The server's own log goes to this file; - is standard error.",
    },
    {
        name = "loglevel", type = "choice", default = "info", flags = { "--log-level" },
        choices = { "debug", "info", "warn", "error" }, synonyms = { warning = "warn", critical = "error" },
        doc = "The least severe messages to log.",
    },
    {
        name = "log_format", type = "choice", default = "text", choices = { "text", "json" },
        doc = "How log lines look: text, or one JSON object a line.",
    },
    {
        name = "certfile", type = "paths", metavar = "FILE",
        doc = "Serve TLS with this certificate and its chain (PEM). Several are chosen from by the name that a"
            .. " client asks for; a directory stands for all that are in it.",
    },
    {
        name = "keyfile", type = "paths", shown = "in certfile", metavar = "FILE",
        doc = "The private key of certfile (PEM, without a password); of several in the same order.",
    },
    {
        name = "ca_certs", type = "path", flags = { "--ca-certs" },
        doc = "Ask clients for certificates of these authorities (PEM).",
    },
    {
        name = "cert_reqs", type = "choice", default = "required", choices = { "none", "optional", "required" },
        synonyms = { ["0"] = "none", ["1"] = "optional", ["2"] = "required" },
        doc = "With ca_certs: whether a client without a certificate is refused.",
    },
    {
        name = "redirect_bind", type = "list", default = {}, shown = "", metavar = "ADDRESS",
        doc = "Where to listen for plain HTTP that is only sent on to https, as bind: usually 0.0.0.0:80. May be"
            .. " given several times.",
    },
    {
        name = "hsts", type = "seconds", default = 0, max = 126230400,
        doc = "Tell browsers to use https alone for that long (Strict-Transport-Security). 0: off.",
    },
    {
        name = "strict_host", type = "boolean", default = false,
        doc = "Answer a request over TLS whose host its certificate is not for with 421 (RFC 9110, 7.4), unless a proxy"
            .. " in forwarded_allow_ips sends it.",
    },
    {
        name = "shared_path", type = "path", shown = "in memory, gone with the server", metavar = "DIR",
        doc = "Keep the shared dictionary in this directory, where it outlives the server. Not on a network file"
            .. " system.",
    },
    {
        name = "shared_size", type = "bytes", default = 67108864, shown = "64M", min = 1048576, max = 1099511627776,
        doc = "How much the shared dictionary holds, keys and values together; beyond it the oldest entries go.",
    },
    {
        name = "shared_sync", type = "boolean", default = false,
        doc = "Have every write of the shared dictionary wait until it is on the disk: with shared_path, a power cut"
            .. " then loses nothing. Each write takes as long as the disk does.",
    },
    {
        name = "nameservers", type = "nameservers", shown = "those of /etc/resolv.conf", metavar = "LIST",
        doc = "Ask these name servers for the names of others, ADDRESS or ADDRESS:PORT with commas between.",
    },
    {
        name = "dns_cache", type = "integer", default = 1000, min = 0, max = 1000000, metavar = "N",
        doc = "Names that each loop of a worker remembers, for as long as the name servers say. 0: none.",
    },
    {
        name = "dns_max_ttl", type = "integer", default = 300, min = 1, max = 86400, metavar = "SECONDS",
        doc = "How long the addresses of a name are remembered at most, whatever the name servers say.",
    },
    {
        name = "sandbox", type = "boolean", default = true,
        doc = "Workers and what they start can neither gain privileges (sudo, setuid programs) nor make system calls"
            .. " that servers have no use for.",
    },
    {
        name = "core_dumps", type = "boolean", default = false,
        doc = "Let a worker that crashes leave a core dump, which holds whatever it had in memory.",
    },
    {
        name = "forwarded_allow_ips", type = "networks", default = "127.0.0.1", metavar = "LIST",
        doc = "The proxies: peers whose X-Forwarded-For and X-Forwarded-Proto, Forwarded or PROXY headers are believed."
            .. " Addresses and networks (10.0.0.0/8) with commas between, or *.",
    },
    {
        name = "forwarded_header", type = "choice", default = "x-forwarded", choices = { "x-forwarded", "forwarded" },
        doc = "What those proxies write: X-Forwarded-For and X-Forwarded-Proto, or Forwarded (RFC 7239). The other is"
            .. " ignored, as clients can make it up.",
    },
    {
        name = "proxy_protocol", type = "boolean", default = false,
        synonyms = { auto = true, v1 = true, v2 = true }, -- gunicorn's: either version is taken
        doc = "Connections begin with a header of the PROXY protocol (version 1 or 2), in which the proxy says for whom"
            .. " it connects: on every address of bind and redirect_bind. For one alone write proxy+ in front of it:"
            .. " proxy+0.0.0.0:8443.",
    },
}

---@type table<string, moonloop.cli.Option>
M.by_name = {}
for _, option in ipairs(M.list) do
    M.by_name[option.name] = option
end

--- MOONLOOP_* variables that are no options of the server.
M.other_variables = {
    MOONLOOP_CONFIG = "the configuration file, as --config",
    MOONLOOP_APPS = "the apps directory, as the argument of serve",
    MOONLOOP_ETC = "where hosts, resolv.conf and nsswitch.conf are looked for, instead of /etc",
    MOONLOOP_LUA_DIR = "where moonloop's own Lua files are",
    MOONLOOP_BUILD_DIR = "launcher: where to build",
    MOONLOOP_SANITIZE = "launcher: sanitizers to build with",
    MOONLOOP_LIBCORE = "specs: the library of C units",
    MOONLOOP_SKIP_PACKAGES = "launcher: do not install packages",
}

--- Variables with this prefix are the server's own, from one of its processes to the next.
M.private_prefix = "MOONLOOP_INTERNAL_"

local metavars = {
    seconds = "SECONDS", bytes = "BYTES", path = "FILE", log = "FILE", text = "NAME", choice = "WORD",
}

---@param option moonloop.cli.Option
---@return string? metavar nil for a boolean
function M.metavar(option)
    if option.choices then
        return table.concat(option.choices, "|")
    end
    return option.metavar or metavars[option.type]
end

---The default as people read it; "" for none.
---@param option moonloop.cli.Option
---@return string
function M.shown_default(option)
    if option.shown then
        return option.shown
    end
    if option.type == "boolean" then
        return option.default and "on" or "off"
    end
    return option.default == nil and "" or tostring(option.default)
end

---The flag that help text shows first.
---@param option moonloop.cli.Option
---@return string
function M.flag(option)
    return "--" .. option.name:gsub("_", "-")
end

---@param option moonloop.cli.Option
---@return string
function M.variable(option)
    return "MOONLOOP_" .. option.name:upper()
end

return M
