--- Whether two values are the same by what is in them, not by which tables they are.

local M = {}

---@param a any
---@param b any
---@param are_alike? fun(a: any, b: any): boolean? what any two values in the same place must be besides; tables as well
---@return boolean
function M.is_same(a, b, are_alike)
    if are_alike and not are_alike(a, b) then
        return false
    elseif type(a) ~= "table" or type(b) ~= "table" then
        return a == b
    end
    for key, value in pairs(a) do
        if not M.is_same(value, b[key], are_alike) then
            return false
        end
    end
    for key in pairs(b) do
        if a[key] == nil then
            return false
        end
    end
    return true
end

return M
