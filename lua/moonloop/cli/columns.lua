--- Text in columns, for tables that people read.

local M = {}

---How many characters a text takes, which is valid UTF-8.
local function width_of(text)
    return select(2, text:gsub("[^\128-\191]", ""))
end

---@param rows string[][] of the same length
---@param is_right? table<integer, boolean> columns that are aligned at their right
---@return string
function M.align(rows, is_right)
    local widths = {}
    for _, row in ipairs(rows) do
        for i, cell in ipairs(row) do
            widths[i] = math.max(widths[i] or 0, width_of(cell))
        end
    end
    local lines = {}
    for _, row in ipairs(rows) do
        local cells = {}
        for i, cell in ipairs(row) do
            local space = (" "):rep(widths[i] - width_of(cell))
            cells[i] = is_right and is_right[i] and space .. cell or cell .. space
        end
        lines[#lines + 1] = table.concat(cells, "  "):gsub("%s+$", "") .. "\n"
    end
    return table.concat(lines)
end

return M
