--- What moonloop.proxy does after a 101: joins the client's connection and the upstream's.

local concurrency = require("moonloop.concurrency")
local errors = require("moonloop.util.errors")
local fields_of = require("moonloop.proxy.fields")
local log = require("moonloop.log")
local now = require("moonloop.clock").now
local task = require("moonloop.task")

local M = {}

---Everything from one to the other, and the end as well.
local function pump(from, to, last)
    for bytes in from:chunks() do
        last.at = now()
        to:write(bytes)
        last.at = now()
    end
    to:finish()
end

---Ends when nothing has come for so many seconds.
local function watch(last, seconds)
    repeat
        task.sleep(math.max(0, last.at + seconds - now()))
    until now() - last.at >= seconds
    log.info(("proxy: a connection after an upgrade was silent for %g seconds and is ended"):format(seconds))
end

---@param req moonloop.Request
---@param res moonloop.http.Response 101
---@param wanted moonloop.http.Wanted
---@param options moonloop.ProxyOptions
---@param idle number seconds without a byte; 0: no limit
function M.pass(req, res, wanted, options, idle)
    local headers = fields_of.of_answer(res.handle, options)
    local behind = res.connection
    local client = req:upgrade(wanted.upgrade, headers)
    local last = { at = now() }
    local function both()
        concurrency.gather(function() pump(client, behind, last) end, function() pump(behind, client, last) end)
    end
    local ok, err = pcall(function()
        if idle > 0 then
            concurrency.race(both, function() watch(last, idle) end)
        else
            both()
        end
    end)
    client:close()
    behind:close()
    if not ok and not errors.is(err, "closed") then -- of those one side has gone, as it may
        error(err, 0)
    end
end

return M
