"""The server that the handlers fetch from and pass requests on to: right answers, and a few wrong ones."""

import asyncio

HANG_SECONDS = 30
LINE_LIMIT = 65536


def item(number):
    return f"item {number}: {number * number}\n".encode()


class Origin:
    """Listens on ports of its own, in plain and over TLS. `close_idle` ends what is kept open."""

    def __init__(self):
        self.servers = []
        self.writers = set()

    async def start(self, tls):
        self.servers.append(await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=LINE_LIMIT))
        self.servers.append(await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=LINE_LIMIT, ssl=tls))
        ports = [server.sockets[0].getsockname()[1] for server in self.servers]
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.sealed_url = f"https://localhost:{ports[1]}"

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while await self.answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has left
        finally:
            self.writers.discard(writer)
            writer.close()

    async def answer(self, reader, writer):
        """One request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip().split("\r\n")
        method, path, _ = line.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        body = await self.read_body(reader, fields)
        path = path.partition("?")[0]
        name = path.split("/")[1]
        if name == "hang":
            await asyncio.wait_for(reader.read(1), HANG_SECONDS)
            return False
        if name == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ncut")
            await writer.drain()
            return False
        content = item(int(path.split("/")[2])) if name == "item" else method.encode() + b" " + body
        if name == "chunks":
            await self.write_chunks(writer, content)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))
            await writer.drain()
        return True

    async def read_body(self, reader, fields):
        if fields.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(fields.get("content-length", 0)))
        parts = []
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            parts.append((await reader.readexactly(size + 2))[:size])
            if size == 0:
                return b"".join(parts)

    async def write_chunks(self, writer, content):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        step = max(1, len(content) // 5)
        for begin in range(0, len(content), step):
            part = content[begin : begin + step]
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def close_idle(self):
        for writer in list(self.writers):
            writer.close()

    async def stop(self):
        for server in self.servers:
            server.close()
        self.close_idle()
