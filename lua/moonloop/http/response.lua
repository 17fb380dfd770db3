--- An answer: its head is here, its body comes as it is asked for.

local core = require("moonloop.core.http")
local errors = require("moonloop.util.errors")
local handles = require("moonloop.util.handle")
local json = require("moonloop.json")

local now = require("moonloop.clock").now
local options_of = require("moonloop.http.options")

local settle = errors.settle
local rawget, setmetatable = rawget, setmetatable

local M = {}

---@class moonloop.http.Timing
---@field dns? number seconds; each is nil when it did not happen
---@field connect? number
---@field tls? number
---@field redirects? number before this request began, from the beginning of the first
---@field first_byte? number from the beginning, redirects included
---@field total? number from the beginning to the last byte; nil while the body comes

---@class moonloop.http.Response
---@field status integer
---@field ok boolean 200 to 299
---@field url string that answered, after redirects
---@field headers table<string, string> any case; several fields of a name are joined by ", ". Iterates with
---  names in lower case
---@field timing moonloop.http.Timing
---@field informational { status: integer, headers: moonloop.http.Headers }[] the interim answers before it, without 100
---@field connection? moonloop.http.Connection of a 101: what the option `upgrade` asked for
---@field history? { status: integer, url: string }[] the redirects that led here; nil: none
---@field tries? integer how often the request was sent; nil: once, as it had no `retries`
---@field coding? string that was undone, such as "gzip"; its Content-Encoding and Content-Length are not in headers
---@field private handle userdata
---@field private whole? string
local Response = { __name = "moonloop.http.Response", __transfer = false }

---@class moonloop.http.Headers: table<string, string>
local Headers = {
    __name = "moonloop.http.Headers",
    __index = function(self, name)
        return type(name) == "string" and rawget(self, name:lower()) or nil
    end,
}

local function add_field(headers, name, value)
    local before = headers[name]
    headers[name] = before and before .. ", " .. value or value
end

---What tells of the head: the handle, or the head itself.
local function head_of(self)
    return rawget(self, "head") or rawget(self, "handle")
end

local function make_headers(self)
    local headers, fields = {}, core.headers(head_of(self))
    for i = 1, #fields, 2 do
        add_field(headers, fields[i], fields[i + 1])
    end
    return setmetatable(headers, Headers)
end

---@param text string as core.interim gives it
---@return { status: integer, headers: moonloop.http.Headers }[]
function M.parse_interim(text)
    local all, headers = {}, nil
    for line in text:gmatch("([^\n]*)\n") do
        if line == "" then
            headers = nil
        elseif not headers then
            headers = setmetatable({}, Headers)
            all[#all + 1] = { status = tonumber(line), headers = headers }
        else
            local name, value = line:match("^([^:]*): (.*)$")
            add_field(headers, name:lower(), value)
        end
    end
    return all
end

---The head as it came, for `moonloop fetch`.
---@param res moonloop.http.Response
---@return string
function M.head(res)
    return rawget(res, "head") or core.raw(rawget(res, "handle"))
end

---What TLS with the server is, for `moonloop fetch`.
---@param res moonloop.http.Response
---@return table<string, string>
function M.tls(res)
    local session = {}
    for what, value in core.tls(rawget(res, "handle")):gmatch("([%l_]+): ([^\n]*)\n") do
        session[what] = session[what] and session[what] .. ", " .. value or value
    end
    return session
end

---Raises what went wrong with a request.
---@param code string
---@param wanted moonloop.http.Wanted
---@param reason string
---@param stage string
function M.fail(code, wanted, reason, stage)
    error(errors.new(code, ("%s %s: %s, %s"):format(wanted.method, wanted.url, reason, stage),
        { method = wanted.method, url = wanted.url, stage = stage }), 0)
end

local function make_timing(self)
    local timing = rawget(self, "head") and { first_byte = rawget(self, "first_byte"), total = rawget(self, "total") }
        or core.timing(rawget(self, "handle"))
    local before = rawget(self, "before")
    if before then
        timing.redirects, timing.first_byte = before, timing.first_byte + before
        timing.total = timing.total and timing.total + before
    end
    return timing
end

local function make_informational(self)
    return rawget(self, "head") and {} or M.parse_interim(core.interim(rawget(self, "handle")))
end

local function make_coding(self)
    return not rawget(self, "head") and core.coding(rawget(self, "handle")) or false
end

-- What is made when it is asked for, and then kept.
local MADE = { headers = make_headers, informational = make_informational, coding = make_coding }

-- By the name that it has in other clients: what to write here.
local ELSEWHERE = {
    text = "body()", content = "body()", read = "body()", data = "body(), or json()", status_code = "status",
    statusCode = "status", iter_content = "chunks()", iter_bytes = "chunks()", iter_lines = "lines()",
    raise_for_status = "ok, which says whether the status is 200 to 299", elapsed = "timing.total",
    cookies = "header_all(\"Set-Cookie\"), or a jar as the option cookies", header = "headers",
}

function Response.__index(self, key)
    local method = Response[key]
    if method ~= nil then
        return method
    elseif MADE[key] then
        local made = MADE[key](self)
        rawset(self, key, made)
        return made
    elseif key == "timing" then
        local timing = make_timing(self)
        if timing.total then
            rawset(self, key, timing)
        end
        return timing
    elseif key == "url" or key == "max_body" then
        return rawget(self, "wanted")[key]
    elseif key == "connection" then
        local duplex = rawget(self, "status") == 101 and core.connection(rawget(self, "handle"))
        local made = duplex and require("moonloop.http.connection").new(duplex, rawget(self, "wanted").upgrade)
        rawset(self, key, made or nil)
        return made or nil
    elseif ELSEWHERE[key] then
        error(("an answer has no %s; here it is %s"):format(key, ELSEWHERE[key]), 2)
    end
    return nil
end

---@param handle userdata
---@param wanted moonloop.http.Wanted
---@param status integer
---@param whole? string the body, when all of it is here
---@return moonloop.http.Response
function M.new(handle, wanted, status, whole)
    return setmetatable({
        handle = handle, status = status, ok = status >= 200 and status < 300, wanted = wanted, whole = whole,
    }, Response)
end

---An answer of which all is here.
---@param wanted moonloop.http.Wanted
---@param status integer
---@param whole string the body
---@param head string
---@param first_byte number seconds
---@param total number seconds
---@return moonloop.http.Response
function M.new_whole(wanted, status, whole, head, first_byte, total)
    local res = setmetatable({
        status = status, ok = status >= 200 and status < 300, wanted = wanted, whole = whole, head = head,
        first_byte = first_byte, total = total,
    }, Response)
    return res
end

---Every value of a field that may come several times, such as Set-Cookie.
---@param name string
---@return string[]
function Response:header_all(name)
    local values, fields = {}, core.headers(head_of(self))
    for i = 1, #fields, 2 do
        if fields[i] == name:lower() then
            values[#values + 1] = fields[i + 1]
        end
    end
    return values
end

---Tells whoever wants to know how far the body has come.
local function tell_progress(self)
    local tell = rawget(self, "wanted").on_progress
    if rawget(self, "is_telling") then
        error("on_progress: the answer that it tells of cannot be read in it", 0)
    end
    self.is_telling = true
    local ok, err
    if rawget(self, "head") then
        ok, err = pcall(tell, #rawget(self, "whole"), #rawget(self, "whole"))
    else
        ok, err = pcall(tell, core.progress(self.handle))
    end
    self.is_telling = false
    if not ok then
        error(err, 0)
    end
end

---The rest of the body, of a function of core's that comes back now and then for progress to be told.
local function settle_all(self, wait, ...)
    local tells = rawget(self, "wanted").on_progress ~= nil
    if tells then
        core.progress(self.handle)
    end
    while true do
        local value = settle(wait(self.handle, ...))
        if tells then
            tell_progress(self)
        end
        if value then
            return value
        end
    end
end

local function check_unread(self, what)
    local how = rawget(self, "is_streamed")
    if how then
        error(("%s: %s has taken the body already"):format(what, how), 3)
    end
end

---The whole body; waits for the rest of it. Raises `too_large` beyond max_body, and what fetching raises.
---@return string
function Response:body()
    local whole, wanted = rawget(self, "whole"), rawget(self, "wanted")
    if not whole then
        check_unread(self, "body")
        whole = settle_all(self, core.body, wanted.max_body)
        self.whole, self.is_told = whole, true
    elseif #whole > wanted.max_body then
        M.fail("too_large", wanted, "the body is larger than max_body", "while reading the body")
    elseif wanted.on_progress and not rawget(self, "is_told") then
        tell_progress(self)
        self.is_told = true
    end
    return whole
end

---The body as JSON. Raises `json`, with what is wrong where and what was answered, as well.
---@return any
function Response:json()
    local text = self:body()
    local ok, value = pcall(json.decode, text)
    if ok then
        return value
    end
    local wanted = rawget(self, "wanted")
    error(errors.new("json", ("%s %s: the answer (%d, %s) is no JSON: %s"):format(wanted.method, wanted.url,
        self.status, self.headers["content-type"] or "without a Content-Type",
        errors.message(value):gsub("^json: ", "")),
        { method = wanted.method, url = wanted.url, status = self.status }), 0)
end

local PROGRESS_BYTES, PROGRESS_SECONDS = 1024 * 1024, 0.1

---The iterator of chunks(), which tells progress between them.
local function telling(self, next_chunk)
    local told_at, since = now(), 0
    return function()
        local chunk = next_chunk()
        since = since + (chunk and #chunk or 0)
        if not chunk or since >= PROGRESS_BYTES or now() - told_at >= PROGRESS_SECONDS then
            tell_progress(self)
            told_at, since = now(), 0
        end
        return chunk
    end
end

---Iterates over the body as it comes: `for chunk in res:chunks() do`. A server that is faster than the loop is
---held back. Raises what fetching raises.
---@return fun(): string?
function Response:chunks()
    local whole = rawget(self, "whole")
    local function next_chunk()
        return (settle(core.chunk(self.handle)))
    end
    if whole then
        next_chunk = function()
            local chunk = whole
            whole = nil
            return chunk ~= "" and chunk or nil
        end
    else
        check_unread(self, "chunks")
        self.is_streamed = "chunks()"
    end
    return rawget(self, "wanted").on_progress and telling(self, next_chunk) or next_chunk
end

---Iterates over the lines of the body as they come, without their ends (LF or CR LF); the last may have none. Raises
---`too_large` for a line over max_body, and what fetching raises.
---@return fun(): string?
function Response:lines()
    local next_chunk = self:chunks()
    local parts, pending, rest, from = {}, 0, "", 1
    local function line_of(last)
        parts[#parts + 1] = last
        local line = table.concat(parts)
        parts, pending = {}, 0
        return (line:gsub("\r$", ""))
    end
    return function()
        while rest do
            local at = rest:find("\n", from, true)
            if at then
                local last = rest:sub(from, at - 1)
                from = at + 1
                return line_of(last)
            end
            pending = pending + #rest - from + 1
            if pending > self.max_body then
                M.fail("too_large", rawget(self, "wanted"), "a line is longer than max_body", "while reading the body")
            end
            parts[#parts + 1] = rest:sub(from)
            rest, from = next_chunk(), 1
        end
        return pending > 0 and line_of("") or nil
    end
end

local SAVE_OPTIONS = { fsync = "boolean", mode = "number" }
local DEFAULT_MODE = 438 -- 0666, less the umask

---Writes the body to a file, in constant memory, whatever its size. It goes to a temporary file beside it, which is
---renamed when all is there: under `path` there is never half a body. Raises `file`, with `path` and `errno`, when it
---cannot be written, and what fetching raises.
---@param path string
---@param options? { fsync?: boolean, mode?: integer } fsync: wait until file and name are on the disk; mode: its
---  permissions, less the umask; 438, which is 0666
---@return integer bytes
function Response:save(path, options)
    options = options or {}
    options_of.check(options, SAVE_OPTIONS, "save")
    if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
        options_of.misuse("save: expected a path, got %s",
            type(path) == "string" and "an empty one" or "a " .. type(path))
    end
    local mode = options.mode or DEFAULT_MODE
    if not (mode >= 0 and mode <= 4095 and mode % 1 == 0) then
        options_of.misuse("save: option mode: expected permissions, 0 to 4095")
    end
    local whole = rawget(self, "whole")
    if whole then
        self:body()
        return settle(core.save(whole, path, mode, options.fsync))
    end
    check_unread(self, "save")
    self.is_streamed = "save()"
    return settle_all(self, core.save, path, mode, options.fsync)
end

---The fields that came behind the body (RFC 9110, 6.5), of chunked answers. Empty until all of the body has come.
---@return moonloop.http.Headers any case, as `headers`
function Response:trailers()
    local trailers = setmetatable({}, Headers)
    if rawget(self, "head") then
        return trailers
    end
    for name, value in core.trailers(self.handle):gmatch("([^\n:]+): ([^\n]*)\n") do
        add_field(trailers, name:lower(), value)
    end
    return trailers
end

---Gives the rest of the body up; what was not read whole cannot be read any more.
function Response:close()
    if self.connection then
        self.connection:close()
    end
    if not rawget(self, "whole") then
        -- Made while they can be.
        self.headers, self.timing, self.informational = self.headers, self.timing, self.informational
        self.coding = self.coding
        core.close(self.handle)
    end
end

handles.finish(Response, "response", function(self)
    return ("response %d of %s"):format(self.status, self.url)
end)

return M
