--- The request that an answer redirects to (RFC 9110, 15.4).
---
--- 303 becomes a GET, and so do 301 and 302 of a POST; all else keeps its method and body. Credentials stay with
--- their origin, which is scheme, host and port: what was dropped on the way stays dropped, coming back included.

local core = require("moonloop.core.http")
local fail = require("moonloop.http.response").fail

local M = {}

local STATUSES = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local SECRETS = { authorization = true, cookie = true, cookie2 = true, ["proxy-authorization"] = true, host = true }
local OF_BODY = { ["content-type"] = true, ["content-encoding"] = true, ["content-language"] = true,
    ["content-location"] = true }
local NONE = {}
local STAGE = "while following redirects"

local function fields_without(fields, some, others)
    local kept = {}
    for i = 1, #fields, 2 do
        local name = fields[i]:lower()
        if not some[name] and not others[name] then
            kept[#kept + 1] = fields[i]
            kept[#kept + 1] = fields[i + 1]
        end
    end
    return kept
end

---Where it leads; raises `protocol` when that is nowhere to go.
local function target(wanted, res, location)
    local url = core.resolve(wanted.url, location) or location
    local parts, reason = core.parse(url)
    if parts and parts.scheme == "http+unix" and not core.same_origin(wanted.url, url) then
        parts, reason = nil, "a redirect may not lead to a Unix socket"
    end
    if not parts then
        res:close()
        fail("protocol", wanted, ("redirected to %q: %s"):format(url, reason), STAGE)
    end
    if not parts.userinfo then
        return url
    end
    local front = url:match("^.-://")
    return front .. url:sub(#front + #parts.userinfo + 2)
end

---@param wanted moonloop.http.Wanted
---@param res moonloop.http.Response
---@return moonloop.http.Wanted? nil: it is no redirect
function M.follow(wanted, res)
    local status = res.status
    local location = STATUSES[status] and res.headers.location
    if not location then
        return nil
    end
    local url = target(wanted, res, location)
    local is_dropped = wanted.method ~= "HEAD" and status == 303 or wanted.method == "POST" and status < 303
    if not is_dropped and wanted.source and not wanted.source:can_reopen() then
        res:close()
        fail("body", wanted, ("redirected with %d to %s, and the body, which comes from an iterator that has begun, "
            .. "cannot be sent again (http.rewindable gives one that can)"):format(status, url), STAGE)
    end
    local following = {}
    for name, value in pairs(wanted) do
        following[name] = value
    end
    following.url = url
    following.fields = fields_without(wanted.fields, is_dropped and OF_BODY or NONE,
        core.same_origin(wanted.url, url) and NONE or SECRETS)
    if is_dropped then
        following.method, following.body, following.source, following.expect = "GET", nil, nil, nil
    end
    return following
end

return M
