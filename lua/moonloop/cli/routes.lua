--- `moonloop routes`: one line a route, as an aligned table or as JSON.

local M = {}

---@class moonloop.cli.Route
---@field method string
---@field pattern string
---@field app string
---@field source string "apps/shop.lua:12"

local COLUMNS = { "method", "pattern", "app", "source" }

---@param routes moonloop.cli.Route[]
---@return string
function M.table(routes)
    local rows = { { "METHOD", "PATTERN", "APP", "HANDLER" } }
    for _, route in ipairs(routes) do
        rows[#rows + 1] = { route.method, route.pattern, route.app, route.source }
    end
    return require("moonloop.cli.columns").align(rows)
end

---@param routes moonloop.cli.Route[]
---@return string
function M.json(routes)
    local json = require("moonloop.json")
    local list = {}
    for i, route in ipairs(routes) do
        local members = {}
        for j, column in ipairs(COLUMNS) do
            members[j] = json.encode(column) .. ":" .. json.encode(route[column])
        end
        list[i] = "{" .. table.concat(members, ",") .. "}"
    end
    return "[" .. table.concat(list, ",") .. "]\n"
end

---An app that does not load answers with an error page, which is no route of its own.
local function without_failed(routes, reports)
    local is_failed, kept = {}, {}
    for _, report in ipairs(reports) do
        is_failed[report.name] = not report.is_ok
    end
    for _, route in ipairs(routes) do
        if not is_failed[route.app] then
            kept[#kept + 1] = route
        end
    end
    return kept
end

---@param options table the settled options
---@param reports { name: string, is_ok: boolean, error: string }[]
---@param routes moonloop.cli.Route[]
---@return integer exit_code 1 when an app could not be loaded, said on standard error
function M.finish(options, reports, routes)
    routes = without_failed(routes, reports)
    table.sort(routes, function(a, b)
        if a.pattern ~= b.pattern then
            return a.pattern < b.pattern
        end
        return a.method < b.method
    end)
    io.stdout:write(options.json and M.json(routes) or M.table(routes))
    local exit_code = 0
    for _, report in ipairs(reports) do
        if not report.is_ok then
            io.stderr:write("moonloop: app ", report.name, " does not load: ", (report.error:match("^[^\n]*")), "\n")
            exit_code = 1
        end
    end
    return exit_code
end

return M
