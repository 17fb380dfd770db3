--- What bench/load makes of wrk: it sends the bytes of the file BENCH_REQUEST over and over (a batch
--- of several requests is pipelined) and prints its figures as one line of JSON.
---
--- With BENCH_LENGTH set, each answer must be a 200 with a body of that many bytes; wrk is several
--- times slower then, so only the warm-up does it.

-- luacheck: globals wrk setup response done wrong wrong_example

local function read_file(path)
    local file = assert(io.open(path, "rb"))
    local bytes = file:read("*a")
    file:close()
    return bytes
end

local init_request = wrk.init

-- `wrk.request` instead of a global `request`: wrk then asks once, not for every batch.
function wrk.init(args)
    init_request(args)
    local batch = read_file(os.getenv("BENCH_REQUEST"))
    wrk.request = function()
        return batch
    end
end

local connections = tonumber(os.getenv("BENCH_CONNECTIONS"))
local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

local expected_length = tonumber(os.getenv("BENCH_LENGTH"))

if expected_length then
    wrong = 0
    wrong_example = "none"

    function response(status, _, body)
        if status ~= 200 or #body ~= expected_length then
            wrong = wrong + 1
            wrong_example = ("status %d with %d bytes"):format(status, #body)
        end
    end
end

--- The latencies as they were measured: { { microseconds, count }, … } in ascending order.
---
--- Before `done`, wrk adds samples that it thinks it missed: one every mean interval E below each
--- sample, down to E, where E counts requests even when 16 of them are one write. Each bucket n > E
--- has thus gained just what bucket n + E holds, and loses it again here.
local function measured_latencies(summary, latency)
    local interval = math.floor(summary.duration / math.floor(summary.requests / connections))
    local counts, values = {}, {}
    for i = 1, #latency do
        local value, count = latency(i)
        values[i], counts[value] = value, count
    end
    local measured = {}
    for i, value in ipairs(values) do
        local added = value > interval and counts[value + interval] or 0
        measured[i] = { value, counts[value] - added }
    end
    return measured
end

local function percentile(latencies, percent)
    local total, seen = 0, 0
    for _, latency in ipairs(latencies) do
        total = total + latency[2]
    end
    for _, latency in ipairs(latencies) do
        seen = seen + latency[2]
        if seen >= total * percent / 100 then
            return latency[1], total
        end
    end
    return 0, total
end

local function count_wrong()
    local total, example = 0, "none"
    for _, thread in ipairs(expected_length and threads or {}) do
        total = total + thread:get("wrong")
        example = thread:get("wrong_example")
    end
    return total, example
end

function done(summary, latency)
    local errors = summary.errors
    local latencies = measured_latencies(summary, latency)
    local p50, batches = percentile(latencies, 50)
    local wrong_total, example = count_wrong()
    io.write(([[BENCH {"requests":%d,"batches":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,]]):format(
        summary.requests, batches, summary.duration, summary.bytes, p50, percentile(latencies, 99)))
    io.write(([["connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"wrong":%d,"example":"%s"}]]):format(
        errors.connect, errors.read, errors.write, errors.timeout, errors.status, wrong_total, example), "\n")
end
