local cjson = require("cjson")
local examples = require("spec.support.examples")
local server = require("spec.support.server")

describe("apps/nested.lua", function()
    local site

    before_each(function()
        site = examples.serve({ "nested.lua", "hello.lua" }, { options = { "--workers", "1" } })
    end)
    after_each(server.clean)

    local function ten_at_once()
        local targets = {}
        for i = 1, 10 do
            targets[i] = "/nested/" .. i
        end
        targets[11] = "/hello/"
        return examples.at_once(site, targets)
    end

    local function collect(answers)
        local parts, requests = {}, {}
        for _, answer in ipairs(answers) do
            assert.equal(200, answer.status, answer.body)
            if answer.target ~= "/hello/" then
                local some = cjson.decode(answer.body)
                assert.equal(7, #some)
                for number, part in ipairs(some) do
                    assert.equal(number, part.number)
                    requests[part.request] = (requests[part.request] or 0) + 1
                    parts[#parts + 1] = part
                end
            end
        end
        return parts, requests
    end

    --- How many differ in that field.
    local function count(parts, field)
        local seen, total = {}, 0
        for _, part in ipairs(parts) do
            total = total + (seen[part[field]] and 0 or 1)
            seen[part[field]] = true
        end
        return total
    end

    --- How many ran at the same moment at the most, of those that `select` takes.
    local function most_at_once(parts, select)
        local events, running, most = {}, 0, 0
        for _, part in ipairs(parts) do
            if select(part) then
                events[#events + 1] = { part.from, 1 }
                events[#events + 1] = { part.to, -1 }
            end
        end
        table.sort(events, function(a, b)
            return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
        end)
        for _, event in ipairs(events) do
            running = running + event[2]
            most = math.max(most, running)
        end
        return most
    end

    it("runs seventy sub-tasks of ten requests, in processes times threads, and no more of either", function()
        local parts, requests = collect(ten_at_once())
        assert.equal(70, #parts)
        for request = 1, 10 do
            assert.equal(7, requests[request])
        end
        local pid = site:worker_pids()[1]
        local processes, threads = count(parts, "process"), count(parts, "thread")
        assert.is_true(processes >= 1 and processes <= 2, processes)
        assert.is_true(threads > processes and threads <= 8, threads)
        for _, part in ipairs(parts) do
            assert.is_true(part.process ~= pid and part.thread ~= part.process)
        end
        assert.is_true(most_at_once(parts, function() return true end) > 1)
        for _, part in ipairs(parts) do
            assert.is_true(most_at_once(parts, function(other)
                return other.process == part.process
            end) <= 4)
        end
    end)

    it("serves others meanwhile", function()
        local answers = ten_at_once()
        assert.equal("/hello/", answers[1].target)
    end)

    it("shows all of them on one timeline", function()
        local count_of_lines = 0
        for line in site:get("/nested/").body:gmatch("[^\n]+") do
            assert.matches("^request %s?%d+, sub%-task %d, process %d+, thread %d+  | *=+$", line)
            count_of_lines = count_of_lines + 1
        end
        assert.equal(70, count_of_lines)
    end)
end)
