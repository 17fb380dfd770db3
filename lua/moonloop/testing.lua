--- Tests of apps: a client that calls them inside the process of the spec, on the road that every request
--- takes, without a port. For `moonloop test`.
---
---     local client = require("moonloop.testing").client("apps")
---     it("greets", function() assert.equal("Hello, world!\n", client:get("/hello/").text) end)

local core = require("moonloop.core.testing")
local handles = require("moonloop.util.handle")
local http = require("moonloop.http")
local json = require("moonloop.json")
local time = require("moonloop.testing.time")

---@class moonloop.testing.Response
---@field status integer
---@field headers table<string, string> by name in any case; several of one name have ", " between
---@field text string the body
---@field private answer moonloop.http.Response
local Response = { __name = "moonloop.testing.Response" }
Response.__index = Response

---The body, decoded. Raises `json` when it is none.
---@return any
function Response:json()
    return json.decode(self.text)
end

---Every value of a field that may come several times, such as Set-Cookie.
---@param name string
---@return string[]
function Response:header_all(name)
    return self.answer:header_all(name)
end

---@class moonloop.testing.Client
---@field private host userdata
---@field private http moonloop.http.Client
local Client = { __name = "moonloop.testing.Client" }
Client.__index = Client

local M = { virtual = time.virtual, explore = time.explore }

---Calls an app and waits for the whole answer. Redirects are not followed unless `redirects` says so.
---Raises what moonloop.http raises: `closed` when the connection ends without an answer.
---@param method string
---@param target string path, with or without a query
---@param options? moonloop.http.Options
---@return moonloop.testing.Response
function Client:request(method, target, options)
    local all = { redirects = 0 }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    all.method, all.url = method, target
    local answer = self.http:request(all)
    return setmetatable({
        status = answer.status, headers = answer.headers, text = answer:body(), answer = answer,
    }, Response)
end

for _, method in ipairs({ "get", "head", "options", "post", "put", "patch", "delete" }) do
    Client[method] = function(self, target, options)
        return self:request(method:upper(), target, options)
    end
end

---Opens a WebSocket of an app. Raises `refused` with the `status` when the answer is no 101.
---@param target string path, with or without a query
---@param options? moonloop.http.WebSocketOptions
---@return moonloop.WebSocket
function Client:websocket(target, options)
    local ws = self.http:websocket(target, options)
    return ws
end

---Ends the apps; what they are doing is cancelled. Happens by itself when nobody holds the client any more.
function Client:close()
    core.close(self.host)
end

handles.finish(Response, "response", function(self)
    return "response " .. self.status
end)
handles.finish(Client, "client", function()
    return "client of apps"
end)

---Loads the apps of a directory as a worker would. Raises what is wrong when one does not load.
---@param apps? string the apps directory; default "apps"
---@param options? table<string, any> options of the server: timeout, max_body, ...
---@return moonloop.testing.Client
function M.client(apps, options)
    local settled = require("moonloop.cli.config").defaults({ apps = apps or "apps" })
    for name, value in pairs(options or {}) do
        if settled[name] == nil then
            error(("client: there is no option %q"):format(tostring(name)), 2)
        end
        settled[name] = value
    end
    local host, failures = core.open(settled)
    if failures ~= "" then
        error(failures, 0)
    end
    return setmetatable({
        host = host, http = http.client_on(core.pool(host), { base_url = "http://testing", timeout = 30 }),
    }, Client)
end

return M
