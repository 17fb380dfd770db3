--- The options of an HTTP client: what they may be, and what they are when they are not given.

local options_of = require("moonloop.http.options")
local request = require("moonloop.http.request")

local misuse = options_of.misuse

---@class moonloop.http.ClientOptions
---@field base_url? string what URLs without a scheme are appended to
---@field headers? table<string, string|number> for each request; its own win
---@field timeout? number|false seconds; 30
---@field auth? string[] { user, password } for each request, only at base_url's origin when there is one
---@field bearer? string a token, in the same way
---@field cookies? moonloop.http.Jar
---@field retries? integer|false|moonloop.http.RetryOptions how often a request is sent again after a failure; 0
---@field redirects? integer|false how many are followed; 5
---@field connections? integer at most so many per origin; 32
---@field queue? integer requests per origin that may wait for a connection; 1000
---@field queue_timeout? number|false seconds that one may wait there; false: as long as its own timeout lets it
---@field idle? number seconds that an unused connection is kept; 60
---@field verify? boolean of TLS: the certificate and its name; true
---@field proxy? string|false "http://user:password@host:port", "socks5://..."; false: none, whatever the environment
---  says
---@field ca_file? string PEM file with the authorities to trust instead of the system's
---@field nameservers? string[] asked for names instead of the machine's: "127.0.0.1", "127.0.0.1:5353", "[::1]:5353"
---@field cert_file? string PEM file with a certificate of one's own and its chain, for servers that want one
---@field key_file? string PEM file with its key, when that is not in cert_file

local M = {}

local OPTIONS = {
    base_url = "string", headers = "table", timeout = { number = true, boolean = true }, connections = "number",
    queue = "number", queue_timeout = { number = true, boolean = true }, idle = "number", verify = "boolean",
    auth = "table", bearer = "string", redirects = { number = true, boolean = true },
    cookies = { table = true, boolean = true }, retries = { number = true, boolean = true, table = true },
    ca_file = "string", cert_file = "string", key_file = "string",
    nameservers = "table", proxy = { string = true, boolean = true },
}

---The list as core.pool takes it; nil: none is given.
local function nameservers_of(options)
    local list = options.nameservers
    if not list then
        return nil
    end
    for _, server in ipairs(list) do
        if type(server) ~= "string" then
            misuse("http.client: option nameservers: expected addresses, got a %s", type(server))
        end
    end
    if #list == 0 then
        misuse("http.client: option nameservers: the list is empty")
    end
    return table.concat(list, ",")
end

---@class moonloop.http.PoolLimits
---@field connections integer
---@field queue integer
---@field idle number seconds
---@field queue_timeout number seconds; 0: none
---@field nameservers? string as core.pool takes them

---Raises what is wrong with them.
---@param options moonloop.http.ClientOptions
---@return moonloop.http.PoolLimits
function M.check(options)
    options_of.check(options, OPTIONS, "http.client")
    local connections, queue, idle = options.connections or 32, options.queue or 1000, options.idle or 60
    local is_good = connections >= 1 and connections <= 65535 and connections % 1 == 0 and queue >= 0 and queue <= 1e6
    if not (is_good and queue % 1 == 0 and idle > 0 and idle <= 1e6) then
        misuse("http.client: connections are 1 to 65535, queue 0 to 1e6, idle more than 0 and up to 1e6")
    end
    local queue_timeout = options.queue_timeout or 0
    if queue_timeout == true or options.queue_timeout == 0 or not (queue_timeout >= 0 and queue_timeout <= 1e9) then
        misuse("http.client: option queue_timeout: expected seconds, more than 0, or false")
    end
    if options.key_file and not options.cert_file then
        misuse("http.client: option key_file: goes with cert_file, which is missing")
    end
    request.check_client(options)
    return {
        connections = connections, queue = queue, idle = idle, queue_timeout = queue_timeout,
        nameservers = nameservers_of(options),
    }
end

return M
