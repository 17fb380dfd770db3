local core = require("spec.support.core")
local ffi = require("ffi")

core.declare("shared/mailbox.h")

local lib = core.lib
local OTHERS, ALL = 0, 1

local function send(post, topic, text, reach)
    return lib.mailbox_send(post, core.str(topic), core.str(text), reach or OTHERS)
end

--- All that is there now: { { topic, text, nlost }, ... }.
local function read_all(post)
    local message, list = ffi.new("struct mailbox_message"), {}
    while lib.mailbox_next(post, message) do
        list[#list + 1] = { core.text(message.topic), core.text(message.bytes), message.nlost }
    end
    return list
end

describe("the mailbox", function()
    local mailbox, posts

    local function open(seat)
        local post = lib.mailbox_open(mailbox, seat)
        assert(post ~= nil, ffi.errno())
        posts[#posts + 1] = post
        return post
    end

    before_each(function()
        mailbox, posts = lib.mailbox_new(8), {}
    end)

    after_each(function()
        for _, post in ipairs(posts) do
            lib.mailbox_unref(post)
        end
        lib.mailbox_free(mailbox)
    end)

    it("brings a message to every other seat that wants its topic", function()
        local one, two, three = open(0), open(1), open(5)
        lib.mailbox_want(two, core.str("chat"))
        lib.mailbox_want(three, core.str("chat"))
        assert.equal(0, send(one, "chat", "hello"))
        assert.equal(0, send(one, "other", "unheard"))
        assert.same({ { "chat", "hello", 0 } }, read_all(two))
        assert.same({ { "chat", "hello", 0 } }, read_all(three))
        assert.same({}, read_all(one))
        assert.same({}, read_all(two))
    end)

    it("brings its own seat what other threads of the process send", function()
        local one = open(0)
        lib.mailbox_want(one, core.str("chat"))
        send(one, "chat", "from the loop")
        send(one, "chat", "from a thread", ALL)
        assert.same({ { "chat", "from a thread", 0 } }, read_all(one))
    end)

    it("shows nothing from before it was wanted, and nothing after", function()
        local one, two = open(0), open(1)
        send(one, "chat", "before")
        lib.mailbox_want(two, core.str("chat"))
        send(one, "chat", "meanwhile")
        assert.same({ { "chat", "meanwhile", 0 } }, read_all(two))
        lib.mailbox_unwant(two, core.str("chat"))
        send(one, "chat", "after")
        lib.mailbox_want(two, core.str("chat"))
        assert.same({}, read_all(two))
    end)

    it("keeps order and bytes over many turns of the ring", function()
        local one, two = open(0), open(1)
        lib.mailbox_want(two, core.str("chat"))
        local count = 0
        for round = 1, 300 do
            local text = tostring(round):rep(1 + round * 37 % 9000)
            for _ = 1, 10 do
                send(one, "chat", text)
            end
            for _, message in ipairs(read_all(two)) do
                assert.same({ "chat", text, 0 }, message)
                count = count + 1
            end
        end
        assert.equal(3000, count)
    end)

    it("keeps the newest for a reader that is too slow, and says how many it lost", function()
        local one, two = open(0), open(1)
        lib.mailbox_want(two, core.str("chat"))
        for i = 1, 5000 do
            send(one, "chat", ("%05d"):format(i):rep(200))
            send(one, "unwanted", "x")
        end
        local list = read_all(two)
        local last, lost = list[#list][2]:sub(1, 5), list[1][3]
        assert.equal("05000", last)
        assert.is_true(#list > 500 and #list < 2200, #list)
        assert.equal(5000, #list + lost)
        assert.equal(("%05d"):format(lost + 1), list[1][2]:sub(1, 5))
        for i = 2, #list do
            assert.equal(0, list[i][3])
        end
    end)

    it("refuses what is too long, and takes what just fits", function()
        local one, two = open(0), open(1)
        local max = tonumber(lib.mailbox_max_bytes(one))
        assert.equal(1000000, max)
        lib.mailbox_want(two, core.str("chat"))
        assert.is_true(send(one, "chat", ("x"):rep(max + 1)) < 0)
        assert.is_true(send(one, ("t"):rep(256), "x") < 0)
        for _ = 1, 5 do
            assert.equal(0, send(one, "chat", ("y"):rep(max)))
            assert.same({ { "chat", ("y"):rep(max), 0 } }, read_all(two))
        end
    end)

    it("gives a seat's next worker none of what its last one had not read", function()
        local one, two = open(0), open(1)
        lib.mailbox_want(two, core.str("chat"))
        send(one, "chat", "for the dead")
        lib.mailbox_clear_seat(mailbox, 1)
        local next_one = open(1)
        assert.same({}, read_all(next_one))
        lib.mailbox_want(next_one, core.str("chat"))
        send(one, "chat", "for the living")
        assert.same({ { "chat", "for the living", 0 } }, read_all(next_one))
    end)

    it("rings once until the reader looks", function()
        local poll = require("posix.poll")
        local one, two = open(0), open(1)
        local function is_rung()
            return poll.rpoll(lib.mailbox_bell_fd(two), 0) == 1
        end
        lib.mailbox_want(two, core.str("chat"))
        send(one, "unwanted", "x")
        assert.is_false(is_rung())
        for _ = 1, 100 do
            send(one, "chat", "x")
        end
        assert.is_true(is_rung())
        lib.mailbox_hush(two)
        assert.is_false(is_rung())
        assert.equal(100, #read_all(two))
        send(one, "chat", "x")
        assert.is_true(is_rung())
    end)

    it("survives a ring full of garbage", function()
        local one, two = open(0), open(1)
        local rings = ffi.cast("char **", mailbox)[2] -- struct mailbox: head, seats, rings
        lib.mailbox_want(two, core.str("chat"))
        for round = 1, 200 do
            for _ = 1, round do
                send(one, "chat", ("text"):rep(100))
            end
            math.randomseed(round)
            local at, size = math.random(0, 2000000), math.random(1, 90000)
            ffi.fill(rings, round % 2 == 0 and size or 2097152, round)
            ffi.copy(rings + at, ("\115\109\108\109\255\255\255\255"):rep(size / 8))
            read_all(two)
            send(one, "chat", "fine")
            local list = read_all(two)
            assert.equal("fine", list[#list][2])
        end
    end)
end)
