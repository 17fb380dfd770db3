--- Bodies in the codings that the client undoes, made by the libraries themselves.

local ffi = require("ffi")

ffi.cdef([[
typedef struct {
    const unsigned char *next_in; unsigned avail_in; unsigned long total_in;
    unsigned char *next_out; unsigned avail_out; unsigned long total_out;
    const char *msg; void *state; void *zalloc; void *zfree; void *opaque; int data_type;
    unsigned long adler; unsigned long reserved;
} spec_z_stream;
const char *zlibVersion(void);
int deflateInit2_(spec_z_stream *, int level, int method, int window, int memory, int strategy, const char *, int);
int deflate(spec_z_stream *, int flush);
int deflateEnd(spec_z_stream *);
unsigned long deflateBound(spec_z_stream *, unsigned long);
int BrotliEncoderCompress(int quality, int window, int mode, size_t, const uint8_t *, size_t *, uint8_t *);
size_t BrotliEncoderMaxCompressedSize(size_t);
size_t ZSTD_compress(void *, size_t, const void *, size_t, int level);
size_t ZSTD_compressBound(size_t);
]])

local z = ffi.load("libz.so.1")
local brotli = ffi.load("libbrotlienc.so.1")
local zstd = ffi.load("libzstd.so.1")

local M = {}

local Z_FINISH, Z_DEFLATED, MEMORY = 4, 8, 8

local function zlib(window)
    return function(text)
        local stream = ffi.new("spec_z_stream")
        assert(z.deflateInit2_(stream, 6, Z_DEFLATED, window, MEMORY, 0, z.zlibVersion(), ffi.sizeof(stream)) == 0)
        local room = tonumber(z.deflateBound(stream, #text)) + 64
        local out = ffi.new("unsigned char[?]", room)
        stream.next_in, stream.avail_in = ffi.cast("const unsigned char *", text), #text
        stream.next_out, stream.avail_out = out, room
        assert(z.deflate(stream, Z_FINISH) == 1)
        z.deflateEnd(stream)
        return ffi.string(out, room - stream.avail_out)
    end
end

M.gzip = zlib(15 + 16)
M.deflate = zlib(15)
M.raw_deflate = zlib(-15)

function M.br(text)
    local room = ffi.new("size_t[1]", brotli.BrotliEncoderMaxCompressedSize(#text) + 64)
    local out = ffi.new("uint8_t[?]", room[0])
    assert(brotli.BrotliEncoderCompress(5, 22, 0, #text, ffi.cast("const uint8_t *", text), room, out) == 1)
    return ffi.string(out, room[0])
end

function M.zstd(text)
    local room = zstd.ZSTD_compressBound(#text)
    local out = ffi.new("char[?]", room)
    local size = tonumber(zstd.ZSTD_compress(out, room, text, #text, 3))
    return ffi.string(out, size)
end

--- What the client calls each, and how it is made.
M.ALL = {
    { "gzip", M.gzip }, { "x-gzip", M.gzip }, { "deflate", M.deflate }, { "deflate", M.raw_deflate },
    { "br", M.br }, { "zstd", M.zstd },
}

return M
