--- Chance of moonloop's own: which ready case a select takes, how long a retry pauses. What an app draws from
--- math.random is not disturbed, and no two workers draw the same.

local clock = require("moonloop.clock")

local M = {}

local MODULUS = 2147483647 -- Park and Miller's generator
local state

---Draws the same again after the same seed.
---@param seed number
function M.seed(seed)
    state = math.floor(math.abs(seed)) % (MODULUS - 1) + 1
end

---@return number 0 < x < 1
function M.fraction()
    if not state then
        local address = tonumber(tostring({}):match("0x(%x+)"), 16) or 0
        M.seed(clock.wall() * 1e6 + address % 1e9)
    end
    state = state * 16807 % MODULUS
    return state / MODULUS
end

---@param count integer
---@return integer 1 to count
function M.draw(count)
    return math.floor(M.fraction() * count) + 1
end

return M
