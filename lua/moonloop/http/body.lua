--- The body of a request, out of the options that may give one.

local form = require("moonloop.http.form")
local json = require("moonloop.json")
local multipart = require("moonloop.http.multipart")
local options = require("moonloop.http.options")
local sources = require("moonloop.http.source")

local misuse = options.misuse

local M = {}

local EXPECT_SECONDS = 1

---@param body any what is no string
---@param length? integer
---@return moonloop.http.Source
local function source_of(body, length)
    options.check_bytes("http: option length", length)
    if sources.is(body) then
        if length then
            misuse("http: option length: this body knows its own")
        end
        return body
    elseif not sources.is_callable(body) then
        misuse("http: option body: a %s does not do: expected a string, an iterator or a source", type(body))
    end
    return sources.once(body, length)
end

local function check_one(given)
    local count = (given.json ~= nil and 1 or 0) + (given.form and 1 or 0) + (given.body and 1 or 0)
        + (given.multipart and 1 or 0)
    if count > 1 then
        misuse("http: json, form, multipart and body exclude each other")
    elseif given.length and (not given.body or type(given.body) == "string") then
        misuse("http: option length is for a body that comes from an iterator")
    end
end

---@param given moonloop.http.Options
---@return string? body
---@return string? content_type that goes with it
---@return moonloop.http.Source? source of a body that comes in pieces
function M.of(given)
    local body, content_type = given.body, nil
    check_one(given)
    if given.json ~= nil then
        body, content_type = json.encode(given.json), "application/json"
    elseif given.form then
        body, content_type = form.encode(given.form, "form"), "application/x-www-form-urlencoded"
    elseif given.multipart then
        body, content_type = multipart.encode(given.multipart)
    end
    if body and type(body) ~= "string" then
        local source = source_of(body, given.length)
        return nil, content_type or source.content_type, source
    elseif given.on_upload and body then
        return nil, content_type, sources.text(body)
    end
    return body, content_type
end

---Seconds that the body waits to be asked for.
---@param expect? boolean|number
---@param body? string
---@param source? moonloop.http.Source
---@return number? seconds nil: not at all
function M.expect(expect, body, source)
    if not expect then
        return nil
    elseif expect ~= true and not (expect > 0 and expect <= 1e6) then
        misuse("http: option expect: expected seconds, more than 0, or true for %d", EXPECT_SECONDS)
    end
    return (source or body and body ~= "") and (expect == true and EXPECT_SECONDS or expect) or nil
end

return M
