--- "Did you mean": the known word that is nearest to a mistyped one.

local M = {}

---Edit distance: insertions, deletions, replacements and swaps of neighbours.
---@param a string
---@param b string
---@return integer
function M.distance(a, b)
    local before, last = nil, {}
    for j = 0, #b do
        last[j] = j
    end
    for i = 1, #a do
        local row = { [0] = i }
        for j = 1, #b do
            local same = a:byte(i) == b:byte(j)
            local best = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
            if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                best = math.min(best, before[j - 2] + 1)
            end
            row[j] = best
        end
        before, last = last, row
    end
    return last[#b]
end

---@param word string
---@param known string[]
---@return string? nearest nil when nothing is near
function M.nearest(word, known)
    local best, best_distance
    local plain = word:lower():gsub("-", "_")
    for _, candidate in ipairs(known) do
        local distance = M.distance(plain, (candidate:lower():gsub("-", "_")))
        if not best_distance or distance < best_distance
            or (distance == best_distance and candidate < best) then
            best, best_distance = candidate, distance
        end
    end
    local limit = math.max(1, math.floor(#plain / 3))
    return best_distance and best_distance <= limit and best or nil
end

---"; did you mean X?" or "".
---@param word string
---@param known string[]
---@return string
function M.hint(word, known)
    local nearest = M.nearest(word, known)
    return nearest and ("; did you mean " .. nearest .. "?") or ""
end

return M
