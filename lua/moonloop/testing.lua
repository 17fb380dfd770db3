--- Apps called from specs, in this process and without a port: the same code reads the requests and writes the
--- answers as in a server, over a pair of sockets instead of the network.
---
---     local client = require("moonloop.testing").client("apps")
---     it("greets", function() assert.equal("Hello, world!\n", client:get("/hello/").text) end)

local core = require("moonloop.core.testing")
local http = require("moonloop.http")
local json = require("moonloop.json")

local M = {}

---@class moonloop.testing.Answer
---@field status integer
---@field headers table<string, string> any case
---@field text string the body
---@field json any the body decoded; raises `json` when it is none
local Answer = { __name = "moonloop.testing.Answer" }

function Answer.__index(self, key)
    if key == "json" then
        local value = json.decode(self.text)
        rawset(self, "json", value)
        return value
    end
    return Answer[key]
end

---Every value of a field that may come several times, such as Set-Cookie.
---@param name string
---@return string[]
function Answer:header_all(name)
    return self.response:header_all(name)
end

---@class moonloop.testing.Client
local Client = { __name = "moonloop.testing.Client" }
Client.__index = Client

---Sends a request and waits for the whole answer. Redirects are not followed unless asked for.
---@param options moonloop.http.Request url: the path, "/hello/?a=1"
---@return moonloop.testing.Answer
function Client:request(options)
    local all = { redirects = 0 }
    for name, value in pairs(options) do
        all[name] = value
    end
    local res = self.http:request(all)
    return setmetatable({ status = res.status, headers = res.headers, text = res:body(), response = res }, Answer)
end

for _, name in ipairs({ "get", "post", "put", "patch", "delete", "head" }) do
    ---@param path string
    ---@param options? moonloop.http.Options
    ---@return moonloop.testing.Answer
    Client[name] = function(self, path, options)
        local all = { method = name:upper(), url = path }
        for key, value in pairs(options or {}) do
            all[key] = value
        end
        return self:request(all)
    end
end

---Ends the apps; what they are doing is cancelled. Happens by itself when nobody holds the client any more.
function Client:close()
    core.close(self.apps)
end

---Loads the apps of a directory as a worker does. Raises, with file and line, when one of them does not load.
---@param apps_dir string
---@param options? { dev?: boolean } dev: error pages say what went wrong; false
---@return moonloop.testing.Client
function M.client(apps_dir, options)
    if type(apps_dir) ~= "string" then
        error("testing.client: expected the path of an apps directory, got a " .. type(apps_dir), 2)
    end
    local apps, reason = core.open(apps_dir, options and options.dev or false)
    if not apps then
        error(("testing.client: %s: %s"):format(apps_dir, reason), 2)
    end
    return setmetatable({
        apps = apps, http = http.client_on(core.pool(apps), { base_url = "http://localhost", timeout = 30 }),
    }, Client)
end

return M
