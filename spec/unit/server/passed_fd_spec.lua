--- Descriptors that come along with what another process sends: one is taken, none stays open unseen.

local core = require("spec.support.core")
local ffi = require("ffi")
local files = require("moonloop.cli.files")
local unistd = require("posix.unistd")
local sys_socket = require("posix.sys.socket")

core.declare("loop/frame.h")
core.declare("server/protocol.h")
ffi.cdef([[
struct spec_iovec { void *base; size_t len; };
struct spec_msghdr {
    void *name; uint32_t namelen; struct spec_iovec *iov; size_t iovlen; void *control; size_t controllen; int flags;
};
struct spec_fds { size_t len; int level, type; int fds[4]; };
ssize_t sendmsg(int fd, const struct spec_msghdr *message, int flags);
]])

local SCM_RIGHTS = 1

--- The bytes of a cdata, with standard output `count` times.
local function send(fd, data, count)
    local control = ffi.new("struct spec_fds", { ffi.offsetof("struct spec_fds", "fds") + 4 * count,
        sys_socket.SOL_SOCKET, SCM_RIGHTS, { 1, 1, 1, 1 } })
    local part = ffi.new("struct spec_iovec", ffi.cast("void *", data), ffi.sizeof(data))
    local message = ffi.new("struct spec_msghdr", { iov = part, iovlen = 1,
        control = count > 0 and ffi.cast("void *", control) or nil, controllen = count > 0 and 16 + 4 * count or 0 })
    assert.equal(ffi.sizeof(data), tonumber(ffi.C.sendmsg(fd, message, 0)))
end

local function count_open()
    return #files.list("/proc/self/fd")
end

for _, count in ipairs({ 0, 1, 2, 3, 4 }) do
    describe(("a message with %d descriptors"):format(count), function()
        local ours, theirs, before

        local function open(kind)
            theirs, ours = assert(sys_socket.socketpair(sys_socket.AF_UNIX, kind, 0))
            before = count_open()
        end

        after_each(function()
            unistd.close(ours)
            unistd.close(theirs)
        end)

        local function assert_one(fd)
            assert.equal(count > 0, fd >= 0)
            if fd >= 0 then
                assert.equal(before + 1, count_open())
                unistd.close(fd)
            end
            assert.equal(before, count_open())
        end

        it("gives one to who reads a note", function()
            open(5) -- SOCK_SEQPACKET
            send(theirs, ffi.new("uint32_t[4]", 1, 2, 3, 0), count)
            local note = ffi.new("struct note")
            assert.equal(1, core.lib.note_receive(ours, note))
            assert.equal(3, tonumber(note.number))
            assert_one(note.fd)
        end)

        it("leaves none when the note has another size", function()
            open(5)
            send(theirs, ffi.new("uint32_t[3]"), count)
            assert.equal(0, core.lib.note_receive(ours, ffi.new("struct note")))
            assert.equal(before, count_open())
        end)

        it("gives one to who reads a frame", function()
            open(sys_socket.SOCK_STREAM)
            send(theirs, ffi.new("uint16_t[12]", 0x6d6c, 2), count)
            local frame, stream = ffi.new("struct frame"), ffi.new("struct frame_stream", { fd = ours })
            assert.equal(0, core.lib.frame_receive(stream, frame, "FRAME_WITH_FD"))
            assert.equal(2, tonumber(frame.type))
            assert_one(frame.fd)
        end)

        it("leaves none when the frame is none of ours, or none was asked for", function()
            open(sys_socket.SOCK_STREAM)
            send(theirs, ffi.new("uint16_t[12]", 1, 2), count)
            send(theirs, ffi.new("uint16_t[12]", 0x6d6c, 2), count)
            local frame, stream = ffi.new("struct frame"), ffi.new("struct frame_stream", { fd = ours })
            assert.is_true(core.lib.frame_receive(stream, frame, "FRAME_WITH_FD") < 0)
            assert.equal(0, core.lib.frame_receive(stream, frame, "FRAME_WITHOUT_FD"))
            assert.equal(-1, frame.fd)
            assert.equal(before, count_open())
        end)
    end)
end
