--- Bodies of type multipart/form-data (RFC 7578), as browsers write them (WHATWG HTML, 4.10.21.8): texts, files and
--- iterators as the parts of one source. What is at hand goes out in one piece with the lines around it; files are
--- opened one after the other, when their turn comes.

local chance = require("moonloop.sync.chance")
local errors = require("moonloop.util.errors")
local form = require("moonloop.http.form")
local options_of = require("moonloop.http.options")
local sources = require("moonloop.http.source")

local misuse = options_of.misuse

local M = {}

local PART_OPTIONS = { type = "string", name = "string", length = "number" }

---@class moonloop.http.Part
---@field content string|moonloop.http.Source
---@field filename? string
---@field content_type? string
local Part = { __name = "moonloop.http.Part" }
Part.__index = Part

---A part with a name of a file, or a type, whatever it comes from.
---@param content string|(fun(): string?)|moonloop.http.Source
---@param options? { name?: string, type?: string, length?: integer } name of a file; media type; bytes of an iterator
---@return moonloop.http.Part
function M.part(content, options)
    options = options or {}
    options_of.check(options, PART_OPTIONS, "http.part")
    options_of.check_bytes("http.part: option length", options.length)
    if type(content) ~= "string" and not sources.is(content) then
        if not sources.is_callable(content) then
            misuse("http.part: expected a string, an iterator or a source, got a %s", type(content))
        end
        content = sources.once(content, options.length)
    elseif options.length then
        misuse("http.part: option length is for an iterator")
    end
    local of_file = sources.is(content) and content or {}
    return setmetatable({
        content = content, filename = options.name or of_file.filename,
        content_type = options_of.check_type("http.part", options.type) or of_file.content_type,
    }, Part)
end

---Quotes, CR and LF in names would end them.
local function escape(name)
    return (name:gsub("\r\n?", "\n"):gsub("\n", "\r\n"):gsub('[\r\n"]', { ["\r"] = "%0D", ["\n"] = "%0A",
        ['"'] = "%22" }))
end

local function part_of(name, value)
    local kind = type(value)
    if getmetatable(value) == Part then
        return value
    elseif sources.is(value) or sources.is_callable(value) then
        return M.part(value)
    elseif kind == "number" and value - value == 0 then
        value = options_of.number_text(value)
    elseif kind ~= "string" and kind ~= "boolean" then
        misuse("http: multipart %s: cannot encode %s", name, kind == "number" and tostring(value) or "a " .. kind)
    end
    return { content = tostring(value) }
end

local function head_of(name, part)
    local lines = { ('Content-Disposition: form-data; name="%s"'):format(escape(name)) }
    if part.filename then
        lines[1] = ('%s; filename="%s"'):format(lines[1], escape(part.filename))
    end
    local content_type = part.content_type or part.filename and "application/octet-stream"
    if content_type then
        lines[2] = "Content-Type: " .. content_type
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

---@return { head: string, content: string|moonloop.http.Source }[]
local function list_parts(given)
    local list = {}
    local function add(name, value)
        local part = part_of(name, value)
        list[#list + 1] = { head = head_of(name, part), content = part.content }
    end
    for _, pair in ipairs(form.pairs_of(given, "multipart")) do
        local name, value = pair[1], pair[2]
        if type(name) ~= "string" then
            misuse("http: multipart: expected a name, got %s", type(name) == "number" and tostring(name)
                or "a " .. type(name))
        end
        if type(value) == "table" and getmetatable(value) == nil then
            form.check_list("multipart", name, value)
            for _, each in ipairs(value) do
                add(name, each)
            end
        else
            add(name, value)
        end
    end
    return list
end

local function random_hex()
    local file = io.open("/dev/urandom", "rb")
    local bytes = file and file:setvbuf("no") and file:read(16)
    if file then
        file:close()
    end
    if bytes and #bytes == 16 then
        return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
    end
    local digits = {}
    for i = 1, 32 do
        digits[i] = ("%x"):format(chance.draw(16) - 1)
    end
    return table.concat(digits)
end

---One that stands in none of the texts. In a file or an iterator it stands by a chance of 1 in 2^128.
local function boundary_for(list)
    while true do
        local boundary = "moonloop-" .. random_hex()
        local is_free = true
        for _, part in ipairs(list) do
            is_free = is_free and not (type(part.content) == "string" and part.content:find(boundary, 1, true))
        end
        if is_free then
            return boundary
        end
    end
end

---The body as strings and sources in turn: what is text is joined.
local function segments_of(list, boundary)
    local segments, texts = {}, {}
    for i, part in ipairs(list) do
        texts[#texts + 1] = (i > 1 and "\r\n--" or "--") .. boundary .. "\r\n" .. part.head
        if type(part.content) == "string" then
            texts[#texts + 1] = part.content
        else
            segments[#segments + 1] = table.concat(texts)
            segments[#segments + 1] = part.content
            texts = {}
        end
    end
    texts[#texts + 1] = (#list > 0 and "\r\n--" or "--") .. boundary .. "--\r\n"
    segments[#segments + 1] = table.concat(texts)
    return segments
end

---@return integer? length nil: not all of it is known
---@return table<integer, integer> lengths of the sources, by segment
local function measure(segments)
    local total, lengths = 0, {}
    for i, segment in ipairs(segments) do
        local length = #segment
        if sources.is(segment) then
            length = segment:measure()
            lengths[i] = length
        end
        total = total and length and total + length
    end
    return total, lengths
end

---Goes through the segments; `state.close` closes the source that is open.
local function pieces_of(segments, lengths, state)
    local at, inner, left = 0, nil, nil
    local function open_next(segment)
        local length
        inner, length, state.close = segment:open()
        left = lengths[at]
        if left and length and length ~= left then
            errors.raise("body", "multipart: a part has %d bytes, and had %d when the request began", length, left)
        end
    end
    local function of_source()
        local piece = inner()
        if piece == nil then
            if left and left > 0 then
                errors.raise("body", "multipart: a part has %d bytes less than was said", left)
            end
            state.finish()
            inner = nil
        elseif left and type(piece) == "string" then
            left = left - #piece
            if left < 0 then
                errors.raise("body", "multipart: a part has more bytes than was said")
            end
        end
        return piece
    end
    return function()
        while true do
            local piece = inner and of_source()
            if piece then
                return piece
            end
            at = at + 1
            local segment = segments[at]
            if type(segment) == "string" or segment == nil then
                return segment
            end
            open_next(segment)
        end
    end
end

local function open(self)
    local length, lengths = measure(self.segments)
    local state = {}
    function state.finish()
        local close = state.close
        state.close = nil
        if close then
            close()
        end
    end
    return pieces_of(self.segments, lengths, state), length, state.finish
end

local function can_reopen(self)
    for _, segment in ipairs(self.segments) do
        if sources.is(segment) and not segment:can_reopen() then
            return false
        end
    end
    return true
end

---@param given table<string, any>|{ [1]: string, [2]: any }[] names with texts, numbers, booleans, http.file(...),
---  http.part(...), sources, iterators, or lists of those; a list of pairs keeps its order
---@return string|moonloop.http.Source body
---@return string content_type
function M.encode(given)
    local list = list_parts(given)
    local boundary = boundary_for(list)
    local segments = segments_of(list, boundary)
    local content_type = "multipart/form-data; boundary=" .. boundary
    if #segments == 1 then
        return segments[1], content_type
    end
    return sources.new({ segments = segments, open = open, can_reopen = can_reopen }), content_type
end

return M
