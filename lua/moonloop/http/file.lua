--- A file as a body, or as a part of one: read piece by piece while it is sent, and never whole in memory.
---
--- What goes out is what the file had when it was opened: one that has become shorter or longer by the end fails the
--- request, since its length has been told. A file that is removed meanwhile is sent whole all the same.

local core = require("moonloop.core.file")
local errors = require("moonloop.util.errors")
local options_of = require("moonloop.http.options")
local sources = require("moonloop.http.source")

local settle = errors.settle

local M = {}

local OPTIONS = { type = "string", name = "string" }
local PIECE_BYTES = 256 * 1024

---@param path string
---@return userdata file
---@return integer size
local function open(path)
    local file = settle(core.open(path))
    local ok, stat = core.stat(file)
    if not ok then
        core.drop(file)
        error(stat, 0)
    elseif stat.kind ~= "file" then
        core.drop(file)
        errors.raise("body", "http.file: %s: is %s, and so has no length to tell: send it with an iterator", path,
            stat.kind == "directory" and "a directory" or "no regular file")
    end
    return file, stat.size
end

local function changed(path, size, what)
    errors.raise("body", "http.file: %s: has become %s while it was sent; it had %d bytes", path, what, size)
end

---An iterator over the `size` bytes of an open file.
local function pieces_of(path, file, size)
    local left = size
    return function()
        if left == 0 then
            return nil
        end
        local piece = settle(core.read(file, math.min(left, PIECE_BYTES)))
        if not piece then
            changed(path, size, "shorter")
        end
        left = left - #piece
        -- Before the last piece goes, so that the server cannot take it for a good one.
        if left == 0 and settle(core.stat(file)).size > size then
            changed(path, size, "longer")
        end
        return piece
    end
end

local function open_source(self)
    local path = self.path
    local file, size = open(path)
    return pieces_of(path, file, size), size, function()
        core.drop(file)
    end
end

local function measure(self)
    local file, size = open(self.path)
    core.drop(file)
    return size
end

---@param path string
---@param options? { type?: string, name?: string } the media type, application/octet-stream; the name that a multipart
---  body tells, the path's last part
---@return moonloop.http.Source
function M.new(path, options)
    if type(path) ~= "string" or path == "" or path:find("%z") then
        options_of.misuse("http.file: expected a path, got %s", type(path) == "string" and ("%q"):format(path)
            or "a " .. type(path))
    end
    options = options or {}
    options_of.check(options, OPTIONS, "http.file")
    return sources.new({
        path = path, open = open_source, measure = measure,
        filename = options.name or path:match("([^/]*)/*$"),
        content_type = options_of.check_type("http.file", options.type) or "application/octet-stream",
    })
end

return M
