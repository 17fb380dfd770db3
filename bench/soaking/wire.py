"""HTTP/1.1 as a client speaks it, on asyncio: small, strict, and never helpful."""

import asyncio
import socket
import struct
import time

READ_BYTES = 65536


class Wrong(Exception):
    """An answer that is not the right one. The text says in what way."""


class Lost(Exception):
    """The connection ended before the answer was whole."""


class Answer:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        version, _, status = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not status[:3].isdigit():
            raise Wrong(f"status line {lines[0]!r}")
        self.status = int(status[:3])
        self.fields = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.fields[name.lower()] = value.strip()
        self.body = b""

    @property
    def is_last(self):
        return self.fields.get("connection") == "close"


class Connection:
    """One connection. `opened` is before it stood, `used` when its last answer came (monotonic)."""

    def __init__(self, reader, writer, is_tls, opened):
        self.reader = reader
        self.writer = writer
        self.is_tls = is_tls
        self.opened = opened
        self.used = time.monotonic()
        self.requests = 0
        self.quiet = 0.0  # seconds before its last request, see Client
        self.worker = None  # its process id, once an answer has told
        self.has_begun = False  # bytes of the answer that is awaited have come

    def is_ended(self):
        return self.reader.at_eof() or self.writer.is_closing()

    async def send(self, data):
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise Lost(f"while sending: {error!r}") from None

    async def read_some(self, size=READ_BYTES):
        """What there is, empty at the end."""
        try:
            return await self.reader.read(size)
        except OSError as error:
            raise Lost(repr(error)) from None

    async def read_until(self, mark):
        try:
            data = await self.reader.readuntil(mark)
        except asyncio.IncompleteReadError as error:
            self.has_begun = self.has_begun or bool(error.partial)
            raise Lost(f"closed after {len(error.partial)} bytes of a line or head") from None
        except OSError as error:
            raise Lost(repr(error)) from None
        self.has_begun = True
        return data

    async def read_exactly(self, size):
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Lost(f"closed after {len(error.partial)} of {size} bytes of the body") from None
        except OSError as error:
            raise Lost(repr(error)) from None

    async def read_chunks(self):
        parts = []
        while True:
            line = await self.read_until(b"\r\n")
            size = int(line, 16)
            data = await self.read_exactly(size + 2)
            if data[size:] != b"\r\n":
                raise Wrong("a chunk without its line end")
            if size == 0:
                return b"".join(parts)
            parts.append(data[:size])

    async def read_head(self, least=200):
        """The next answer without its body; statuses below `least` are skipped."""
        self.has_begun = False
        while True:
            answer = Answer(await self.read_until(b"\r\n\r\n"))
            if answer.status >= least:
                return answer

    async def read_answer(self, method="GET"):
        answer = await self.read_head()
        fields = answer.fields
        if method == "HEAD" or answer.status in (204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            answer.body = await self.read_chunks()
        elif "content-length" in fields:
            answer.body = await self.read_exactly(int(fields["content-length"]))
        else:
            raise Wrong(f"neither a length nor chunks: {fields}")
        self.used = time.monotonic()
        self.requests += 1
        self.worker = fields.get("x-worker", self.worker)
        return answer

    async def read_end(self):
        """Everything until the server closes."""
        parts = []
        while True:
            data = await self.read_some()
            if not data:
                return b"".join(parts)
            parts.append(data)

    def close(self):
        self.writer.close()

    def reset(self):
        """Leaves with a RST instead of a FIN."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def connect(address, tls=None, session=None, receive_bytes=None):
    """To (host, port) or the path of a Unix socket. `tls` is an ssl context. Raises Lost."""
    opened = time.monotonic()
    try:
        if isinstance(address, str):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            raw.setblocking(False)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_bytes:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            try:
                await asyncio.get_running_loop().sock_connect(raw, address)
                reader, writer = await asyncio.open_connection(
                    sock=raw, ssl=tls, server_hostname="localhost" if tls else None
                )
            except BaseException:
                raw.close()
                raise
    except OSError as error:
        raise Lost(f"no connection: {error!r}") from None
    return Connection(reader, writer, tls is not None, opened)


def request_bytes(method, target, fields=(), body=None):
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def chunked(parts):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
