--- What bench/micro/shared.lua measures of ngx.shared.DICT: the same works, in one worker and in both.

-- luacheck: globals ngx

local ngx = ngx
local works = dofile(ngx.config.prefix() .. "works.lua")

local M = {}

local function wait_for(barrier, name, count)
    barrier:incr(name, 1, 0)
    while barrier:get(name) < count do end
end

local function measure(work, dict)
    ngx.update_time()
    local before = ngx.now()
    work.run(dict, work.times)
    ngx.update_time()
    return (ngx.now() - before) / work.times * 1e9
end

---@param dir string results.txt there gets "work processes nanoseconds" lines
function M.run(dir)
    local dict, barrier = ngx.shared.hits, ngx.shared.barrier
    for i, work in ipairs(works) do
        for count = 1, 2 do
            if ngx.worker.id() < count then
                wait_for(barrier, "begin" .. i .. count, count)
                local ns = measure(work, dict)
                local file = io.open(dir .. "/results.txt", "a")
                file:write(work.name, " ", count, " ", ns, "\n")
                file:close()
            end
            wait_for(barrier, "end" .. i .. count, 2)
        end
    end
    if ngx.worker.id() == 0 then
        local pid = io.open(dir .. "/nginx.pid"):read("*l")
        os.execute("kill -QUIT " .. pid)
    end
end

return M
