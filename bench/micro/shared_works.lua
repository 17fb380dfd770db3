--- The works of bench/micro/shared.lua: the same code for moonloop.shared and for ngx.shared.DICT, whose methods have
--- the same names.

local TEXT = ("x"):rep(100)

return {
    { name = "incr", times = 2000000, run = function(dict, times)
        for _ = 1, times do
            dict:incr("hits", 1, 0)
        end
    end },
    { name = "get-number", times = 2000000, run = function(dict, times)
        for _ = 1, times do
            dict:get("hits")
        end
    end },
    { name = "set-text", times = 200000, run = function(dict, times)
        for i = 1, times do
            dict:set(i % 2 == 0 and "even" or "odd", TEXT)
        end
    end },
    { name = "get-text", times = 1000000, run = function(dict, times)
        for _ = 1, times do
            dict:get("even")
        end
    end },
}
