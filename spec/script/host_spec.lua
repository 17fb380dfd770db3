describe("moonloop.host_ip", function()
    local moonloop = require("moonloop")

    it("is an address that a socket of this machine can have", function()
        local address = moonloop.host_ip()
        local made = address:find(":", 1, true) and require("socket").tcp6() or require("socket").tcp4()
        assert.equal(1, made:bind(address, 0))
        made:close()
        assert.not_equal("0.0.0.0", address)
    end)

    it("has types for just what its C module holds", function()
        local file = assert(io.open("lua/moonloop/meta/host.lua"))
        local declared = {}
        for name in file:read("*a"):gmatch("\nfunction core%.([%w_]+)") do
            declared[name] = "function"
        end
        file:close()
        local real = {}
        for name, value in pairs(require("moonloop.core.host")) do
            real[name] = type(value)
        end
        assert.same(real, declared)
    end)
end)
