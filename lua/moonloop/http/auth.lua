--- Who a request says it comes from: basic authentication (RFC 7617) and bearer tokens (RFC 6750).

local base64 = require("moonloop.util.base64")
local misuse = require("moonloop.http.options").misuse

local M = {}

local function basic(auth)
    local user, password = auth[1], auth[2]
    if type(user) ~= "string" or type(password) ~= "string" or user:find(":", 1, true) then
        misuse("http: option auth: expected { user, password }, and no colon in the user")
    elseif user:find("%c") or password:find("%c") then
        misuse("http: option auth: user and password may hold no control characters")
    end
    return "Basic " .. base64.encode(user .. ":" .. password)
end

local function bearer(token)
    if not token:find("^[%w%-._~+/]+=*$") then
        misuse("http: option bearer: expected a token: letters, digits and -._~+/, then = perhaps")
    end
    return "Bearer " .. token
end

---The value of Authorization that these options, of a request or of a client, ask for.
---@param options { auth?: string[], bearer?: string }
---@return string? value
function M.of(options)
    if options.auth and options.bearer then
        misuse("http: auth and bearer exclude each other")
    elseif options.auth then
        return basic(options.auth)
    end
    return options.bearer and bearer(options.bearer)
end

return M
