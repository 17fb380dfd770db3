--- What is answered when a handler raised.

local errors = require("moonloop.util.errors")
local log = require("moonloop.log")

local M = {}

local function default_answer(err, is_overdue)
    if type(err) == "table" and type(err.status) == "number" then
        if err.code == "abort" then
            return err.body, err.status, err.headers
        end
        return errors.message(err) .. "\n", err.status, err.answer_headers
    elseif is_overdue then
        return "the request took too long\n", 504
    end
    return "internal server error\n", 500
end

local function is_expected(err)
    return type(err) == "table" and type(err.status) == "number" and err.status < 500
end

---@param apps table<integer, moonloop.App> by number
---@param is_dev boolean
---@return function failure (err, req, res, app_number, is_overdue, is_begun) -> body, status, headers
function M.handler(apps, is_dev)
    return function(err, req, res, number, is_overdue, is_begun)
        if not is_expected(err) and not (type(err) == "table" and err.is_logged) then
            log.error(errors.message(err), { traceback = errors.trace(err) })
        end
        if is_begun then
            return
        end
        local app = apps[number]
        if app and app.error_handler then
            local body, status, headers = app.error_handler(err, req, res)
            local _, default_status = default_answer(err, is_overdue)
            return body, status or rawget(res, "status") or default_status, headers
        end
        if is_dev and not is_expected(err) then
            local _, status = default_answer(err, is_overdue)
            return require("moonloop.error_page").render(err, req, status)
        end
        return default_answer(err, is_overdue)
    end
end

return M
