--- Runs the examples of docs/concurrency.md, each as a script of its own.

local function blocks(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text:gmatch("\n```lua\n(.-)\n```")
end

describe("docs/concurrency.md", function()
    local count = 0
    for block in blocks("docs/concurrency.md") do
        count = count + 1
        it("has an example that runs: number " .. count, function()
            assert(loadstring(block, "=docs/concurrency.md"))()
        end)
    end
    assert(count > 0)
end)
