--- Bodies of multipart/form-data as the client writes them, read again by a parser that knows RFC 7578 and nothing of
--- the writer: the same parts with the same names, types and contents, whatever is in them, whole and in pieces; and
--- the length that was told is that of what comes.
---
--- Input: a byte that says how each part is given, its name in a line, then what that byte asks for.

local check = dofile("core/fuzz/check.lua")
local http = require("moonloop.http")
local multipart = require("moonloop.http.multipart")
local sources = require("moonloop.http.source")

local claim = check.claim

local KINDS = { "text", "number", "part", "once", "rewindable" }

---As browsers write names (WHATWG HTML, 4.10.21.8).
local function written(name)
    name = name:gsub("\r\n", "\n"):gsub("\r", "\n"):gsub("\n", "\r\n")
    return (name:gsub("\r", "%%0D"):gsub("\n", "%%0A"):gsub('"', "%%22"))
end

local function iterator_of(text, step)
    local at = 1
    return function()
        if at > #text then
            return nil
        end
        at = at + step
        return text:sub(at - step, at - 1)
    end
end

---@return table given one part as the client takes it
---@return table expected
local function take_part(input)
    local kind, step = KINDS[input:number(#KINDS - 1) + 1], input:number(7) + 1
    local name = input:line()
    local expected = { name = written(name) }
    if kind == "number" then
        expected.content = tostring(step)
        return { name, step }, expected
    end
    local filename, media_type = nil, nil
    if kind == "part" then
        filename, media_type = input:line(), input:line()
        if media_type == "" or media_type:find("[%z\1-\31\127]") then
            media_type = nil
        end
        expected.filename = written(filename)
        expected.type = media_type or "application/octet-stream"
    end
    expected.content = input:line():gsub("\\n", "\r\n")
    local text = expected.content
    if kind == "text" then
        return { name, text }, expected
    elseif kind == "once" then
        local source = sources.once(iterator_of(text, step), step % 2 == 0 and #text or nil)
        return { name, source }, expected
    elseif kind == "rewindable" then
        return { name, sources.rewindable(function() return iterator_of(text, step) end, #text) }, expected
    end
    local content = step % 2 == 0 and sources.text(text) or text
    return { name, http.part(content, { name = filename, type = media_type }) }, expected
end

local function collect(body)
    if type(body) == "string" then
        return body, #body
    end
    local pieces = {}
    local next_piece, length, close = body:open()
    for piece in next_piece do
        claim(type(piece) == "string", "a piece is a " .. type(piece))
        pieces[#pieces + 1] = piece
    end
    close()
    close()
    return table.concat(pieces), length
end

---A head: its lines by name, each once.
local function read_head(text)
    local fields = {}
    for line in (text .. "\r\n"):gmatch("(.-)\r\n") do
        local name, value = line:match("^([%a-]+): (.*)$")
        claim(name and not fields[name], "a line of a part's head that is none", text)
        claim(not value:find("[\r\n]"), "a head that is broken open", text)
        fields[name] = value
    end
    return fields
end

local function read_part(text)
    local at = text:find("\r\n\r\n", 1, true)
    claim(at, "a part without the end of its head", text)
    local fields = read_head(text:sub(1, at - 1))
    local disposition = fields["Content-Disposition"]
    claim(disposition, "a part without a disposition", text)
    local name, rest = disposition:match('^form%-data; name="([^"]*)"(.*)$')
    claim(name, "a disposition without a name", disposition)
    local filename = rest:match('^; filename="([^"]*)"$')
    claim(filename or rest == "", "what is that behind the name?", disposition)
    return { name = name, filename = filename, type = fields["Content-Type"], content = text:sub(at + 4) }
end

local function read_body(body, boundary)
    local mark, parts = "\r\n--" .. boundary, {}
    body = "\r\n" .. body
    local at = 1
    while true do
        claim(body:sub(at, at + #mark - 1) == mark, "a part does not begin where one has to", body:sub(at))
        at = at + #mark
        if body:sub(at, at + 1) == "--" then
            claim(body:sub(at) == "--\r\n", "something behind the end", body:sub(at))
            return parts
        end
        claim(body:sub(at, at + 1) == "\r\n", "a boundary goes on", body:sub(at))
        local to = body:find(mark, at, true)
        claim(to, "the last part has no end", body:sub(at))
        parts[#parts + 1] = read_part(body:sub(at + 2, to - 1))
        at = to
    end
end

return function(bytes)
    local input, given, expected = check.input(bytes), {}, {}
    while not input:is_empty() and #given < 20 do
        given[#given + 1], expected[#expected + 1] = take_part(input)
    end
    local body, content_type = multipart.encode(given)
    local boundary = content_type:match("^multipart/form%-data; boundary=([%w'()+_,./:=?-]+)$")
    claim(boundary and #boundary <= 70, "no boundary as RFC 2046 has it", content_type)
    local text, length = collect(body)
    claim(length == nil or length == #text, "another length than was told", length, #text)
    local parts = read_body(text, boundary)
    claim(#parts == #expected, "so many parts: ", #parts, #expected, text)
    for i, part in ipairs(parts) do
        for _, key in ipairs({ "name", "filename", "type", "content" }) do
            claim(part[key] == expected[i][key], ("part %d has another %s"):format(i, key), part[key], expected[i][key])
        end
    end
    if type(body) ~= "string" and body:can_reopen() then
        claim(collect(body) == text, "sent again, it is something else", text)
    end
end
