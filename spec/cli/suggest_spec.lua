local suggest = require("moonloop.cli.suggest")

describe("the suggestion for a mistyped word", function()
    it("is the nearest known word", function()
        assert.equal("workers", suggest.nearest("wrokers", { "workers", "threads", "bind" }))
        assert.equal("max_body", suggest.nearest("maxbody", { "max_body", "max_memory" }))
    end)

    it("takes dashes for underscores and does not mind case", function()
        assert.equal("log_format", suggest.nearest("Log-Formt", { "log_format", "loglevel" }))
    end)

    it("is left out when nothing is near", function()
        assert.is_nil(suggest.nearest("zebra", { "workers", "threads" }))
        assert.equal("", suggest.hint("zebra", { "workers" }))
    end)

    it("counts a swap of neighbours as one step", function()
        assert.equal(1, suggest.distance("ab", "ba"))
        assert.equal(3, suggest.distance("kitten", "sitting"))
        assert.equal(4, suggest.distance("", "four"))
    end)
end)
