--- What bench/load makes of wrk: it sends the bytes of the file BENCH_REQUEST over and over (a batch
--- of several requests is pipelined) and prints its figures as one line of JSON.
---
--- With BENCH_LENGTH set, each answer must be a 200 with a body of that many bytes; wrk is several
--- times slower then, so only the warm-up does it.

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

function done(summary, latency)
    local errors = summary.errors
    local wrong_total, example = 0, "none"
    if expected_length then
        for _, thread in ipairs(threads) do
            wrong_total = wrong_total + thread:get("wrong")
            example = thread:get("wrong_example")
        end
    end
    io.write(([[BENCH {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,]]):format(
        summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99)),
        ([["connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"wrong":%d,"example":"%s"}]]):format(
            errors.connect, errors.read, errors.write, errors.timeout, errors.status, wrong_total, example),
        "\n")
end
