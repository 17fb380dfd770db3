--- docs/reliability.md names an example of a spec for each promise: each of them exists.

local evidence = require("spec.support.evidence")
local process = require("spec.support.process")

describe("the promises of docs/reliability.md", function()
    local text = assert(process.read("docs/reliability.md"))
    local count = 0

    for named in text:gmatch("`(spec/%S+%.lua: [^`]+)`") do
        count = count + 1
        it("are shown by " .. named, function()
            assert.equal(nil, evidence.missing(named))
        end)
    end

    it("are shown by many examples, each named once where it belongs", function()
        assert.is_true(count > 50)
    end)

    it("come before what is not promised, and the security policy leads there", function()
        assert.truthy(text:find("## What is not promised", 1, true))
        assert.truthy(process.read("SECURITY.md"):find("docs/reliability.md", 1, true))
        assert.truthy(process.read("README.md"):find("SECURITY.md", 1, true))
    end)
end)
