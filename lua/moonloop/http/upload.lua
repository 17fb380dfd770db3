--- How a body that comes in pieces is sent: a task of its own takes piece after piece from an iterator, as the
--- connection has room, while the request waits for its answer.

local core = require("moonloop.core.http")
local error_filter = require("moonloop.sync.error_filter")
local errors = require("moonloop.util.errors")
local now = require("moonloop.clock").now
local task = require("moonloop.task")

local settle = errors.settle

local M = {}

-- After so many bytes or pieces that nothing had to wait for, others have their turn.
local TURN_BYTES, TURN_PIECES = 1024 * 1024, 64
-- Progress is told after so many bytes, or so many seconds, and at the end: as that of answers (fetch.h).
local PROGRESS_BYTES, PROGRESS_SECONDS = 1024 * 1024, 0.1

---What tells `on_upload` how far the body has come, if it is time.
---@param on_upload fun(done: integer, total?: integer)
---@param total? integer
---@return fun(done: integer, is_end?: boolean)
local function teller(on_upload, total)
    local told, told_at, is_over = 0, now(), false
    return function(done, is_end)
        is_end = is_end or done == total
        local is_due = is_end or done - told >= PROGRESS_BYTES or now() - told_at >= PROGRESS_SECONDS
        if not is_over and (done > told or is_end) and is_due then
            told, told_at, is_over = done, now(), is_end
            on_upload(done, total or is_end and done or nil)
        end
    end
end

local function check_piece(piece)
    if type(piece) ~= "string" then
        error(("http: body: the iterator gave a %s; expected a string, or nil at the end"):format(type(piece)), 0)
    end
end

local function feed(handle, next_piece, tell)
    local done, turn_bytes, turn_pieces = 0, 0, 0
    while true do
        settle(core.room(handle))
        local piece = next_piece()
        if piece == nil then
            core.send(handle)
            break
        end
        check_piece(piece)
        core.send(handle, piece)
        done, turn_bytes, turn_pieces = done + #piece, turn_bytes + #piece, turn_pieces + 1
        if tell then
            tell(done) -- now: with the last byte the answer may come, and end this
        end
        if turn_bytes >= TURN_BYTES or turn_pieces >= TURN_PIECES then
            turn_bytes, turn_pieces = 0, 0
            task.sleep(0)
        end
    end
    if tell then
        tell(done, true)
    end
end

---The failure of a source says whose it is, as those of the connection do.
local function place(err, wanted, stage)
    if errors.is(err) and err.url == nil then
        err.method, err.url, err.stage = wanted.method, wanted.url, stage
    end
    return err
end

local function run_feeder(handle, next_piece, close, tell, wanted)
    local ok, err = xpcall(feed, error_filter.traced, handle, next_piece, tell)
    if not ok then
        core.break_off(handle, place(err, wanted, "while sending the request"))
    end
    if close then
        close()
    end
end

local function open(source, wanted)
    local ok, next_piece, length, close = xpcall(source.open, error_filter.traced, source)
    if not ok then
        error(place(next_piece, wanted, "before it began"), 0)
    end
    return next_piece, length, close
end

---Sends a request whose body is a source, or waits to be asked for, or whose answer is decoded in an own way; what
---comes back is what core.fetch gives.
---@param pool userdata
---@param wanted moonloop.http.Wanted
---@param left number seconds; 0: no limit
---@param wants_interim boolean
---@param proxy? string URL
---@param wants_tls? boolean
---@return boolean? ok nil: it cannot be sent, and the next is why
---@return userdata|table|string fetch or error or reason
---@return integer? status
---@return string? body
function M.fetch(pool, wanted, left, wants_interim, proxy, wants_tls)
    local began = now()
    local next_piece, length, close
    local source = wanted.source
    if source then
        next_piece, length, close = open(source, wanted)
    end
    local handle, reason = core.open(pool, wanted.method, wanted.url, wanted.fields,
        source and (length or -1) or wanted.body, left, wants_interim, wanted.expect or 0,
        proxy)
    if not handle then
        if close then
            close()
        end
        return nil, reason
    end
    if wants_tls then
        core.want_tls(handle)
    end
    if wanted.decoding then
        core.decoding(handle, wanted.decoding.is_wanted, wanted.decoding.max_ratio)
    end
    if source then
        local tell = wanted.on_upload and teller(wanted.on_upload, length)
        local feeder = task.spawn_detached(run_feeder, handle, next_piece, close, tell, wanted)
        feeder.name = "the body of a request"
        core.feed(handle, feeder)
    end
    local ok, answer, status, body = core.head(handle)
    if not ok and close then
        close() -- the feeder may never have begun
    end
    if ok and status == 417 and wanted.expect and (not source or source:can_reopen()) then
        core.close(answer) -- RFC 9110, 10.1.1: the same again, without the expectation
        wanted.expect = nil
        return M.fetch(pool, wanted, left > 0 and math.max(left - (now() - began), 0.001) or 0, wants_interim,
            proxy, wants_tls)
    end
    return ok, answer, status, body
end

return M
