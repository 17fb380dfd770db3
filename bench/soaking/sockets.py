"""WebSockets and event streams, as a client: an echo that has to come back whole, events in their order."""

import base64
import hashlib
import struct

from soaking.wire import Lost, Wrong, request_bytes

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LEAVES = (1001, 1012)  # the server or its code goes


def frame(opcode, payload, mask):
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    repeated = mask * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")
    return head + mask + masked.to_bytes(size, "big")


async def read_frame(connection):
    first, second = await connection.read_exactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await connection.read_exactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await connection.read_exactly(8))
    if second & 0x80 or not first & 0x80 or first & 0x70:
        raise Wrong(f"a frame that begins {first:02x} {second:02x}")
    return first & 0x0F, await connection.read_exactly(size)


async def shake_hands(client, connection, target):
    key = base64.b64encode(client.random.randbytes(16))
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
              ("Sec-WebSocket-Key", key.decode())]
    await client.send(connection, request_bytes("GET", target, fields))
    answer = await connection.read_head(least=101)
    client.check(answer, 101)
    wanted = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
    if answer.fields.get("sec-websocket-accept") != wanted:
        raise Wrong(f"accepted with {answer.fields.get('sec-websocket-accept')}")


async def echo(client, connection, message):
    """Whether the echo came; False when the server takes its leave."""
    opcode = client.random.choice((TEXT, BINARY))
    await connection.send(frame(opcode, message, client.random.randbytes(4)))
    while True:
        kind, payload = await read_frame(connection)
        if kind == PING:
            await connection.send(frame(PONG, payload, client.random.randbytes(4)))
        elif kind == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else None
            if code not in LEAVES:
                raise Wrong(f"closed with {code} {payload[2:]!r}")
            return False
        elif kind != opcode or payload != message:
            raise Wrong(f"{len(payload)} bytes of kind {kind} instead of {len(message)} of kind {opcode}")
        else:
            return True


async def websocket(client):
    client.asked = "GET /socket, a WebSocket"
    connection = await client.connect()
    try:
        await shake_hands(client, connection, "/socket")
        for _ in range(client.random.randrange(1, 10)):
            size = int(client.random.random() ** 4 * 100_000)
            if not await echo(client, connection, client.random.randbytes(size // 2).hex().encode()):
                return
        if client.random.random() < 0.8:  # the others leave without a word
            await connection.send(frame(CLOSE, struct.pack("!H", 1000), client.random.randbytes(4)))
            kind, payload = await read_frame(connection)
            if kind != CLOSE or struct.unpack("!H", payload[:2])[0] not in (1000, *LEAVES):
                raise Wrong(f"answered the close with kind {kind}, {payload!r}")
    except Lost:
        client.excuse(connection)
        raise


async def events(client):
    count = client.random.randrange(1, 20)
    wanted = b"".join(b"id: %d\ndata: event %d\n\n" % (i, i) for i in range(1, count + 1))
    await client.expect("GET", f"/events/{count}", wanted)


SOCKETS = [(15, websocket), (10, events)]
