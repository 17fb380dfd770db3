"""What other clients do: slow ones, those that leave in the middle, and those that speak no HTTP."""

import asyncio

from soaking.acts import pattern
from soaking.wire import Lost, Wrong, request_bytes

SLOW_PIECES = 20
SLOW_SECONDS = 0.05
PATIENCE_SECONDS = 20  # above every time limit that the server was given
NEVER_SECONDS = 20  # beyond send_timeout
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n"

MALFORMED = [
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, GET + b"Host: b\r\n\r\n"),
    (400, GET + b"X : y\r\n\r\n"),
    (400, GET + b"X: y\r\n folded\r\n\r\n"),
    (400, GET + b"X: a\x00b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    (400, b"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, POST + b"Content-Length: +5\r\n\r\nhello"),
    (400, POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n"),
    (400, POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"),
    (413, POST + b"Content-Length: 99999999\r\n\r\n"),
    (414, b"GET /" + b"x" * 10000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, POST + b"Expect: tea\r\nContent-Length: 5\r\n\r\nhello"),
    (431, GET + b"X: " + b"y" * 40000 + b"\r\n\r\n"),
    (431, GET + b"X: y\r\n" * 200 + b"\r\n"),
    (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    (501, b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
]


async def malformed(client):
    status, data = client.random.choice(MALFORMED)
    client.asked = repr(data[:60])
    connection = await client.connect()
    if client.random.random() < 0.3:
        answer = await client.exchange(connection, request_bytes("GET", "/"))
        client.check(answer, 200, b"hello\n")
        if answer.is_last:
            return
    answer = await client.exchange(connection, data)
    client.check(answer, status)
    if not answer.is_last:
        raise Wrong("no Connection: close")
    if await connection.read_end():
        raise Wrong("something behind the answer")


async def noise(client):
    """Bytes that were never meant to be HTTP: answered 4xx or 5xx, or the connection just ends."""
    client.asked = "noise"
    connection = await client.connect()
    try:
        await connection.send(client.random.randbytes(client.random.randrange(1, 3000)) + b"\r\n\r\n")
        text = await asyncio.wait_for(connection.read_end(), PATIENCE_SECONDS)
    except Lost:
        return
    if text and not text.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
        raise Wrong(f"answered {text[:80]!r}")


async def wrong_door(client):
    """Plain text where TLS is spoken, and TLS or noise that breaks off."""
    client.asked = "plain text on the TLS port"
    connection = await client.connect_to(client.load.site.address)
    if client.random.random() < 0.5:
        await connection.send(b"\x16\x03\x01\x02\x00\x01" + client.random.randbytes(client.random.randrange(200)))
        connection.reset()
        return
    client.check(await client.exchange(connection, request_bytes("GET", "/")), 400 if client.load.tls else 200)


async def redirected(client):
    if client.load.site.redirect is None:
        return
    client.asked = "the address that redirects"
    connection = await client.connect_to(client.load.site.redirect)
    answer = await client.exchange(connection, request_bytes("GET", "/a?b"))
    client.check(answer, 301)
    wanted = f"https://localhost:{client.load.site.address[1]}/a?b"
    if answer.fields.get("location") != wanted:
        raise Wrong(f"sent to {answer.fields.get('location')} instead of {wanted}")


def pieces(data):
    step = max(1, len(data) // SLOW_PIECES)
    return [data[begin : begin + step] for begin in range(0, len(data), step)]


async def slow_request(client):
    """A head and a body that come drop by drop, fast enough to be let through."""
    body = client.random.randbytes(2000)
    client.asked = "POST /echo, slowly"
    connection = await client.connect()
    try:
        for piece in pieces(request_bytes("POST", "/echo", (), body)):
            await connection.send(piece)
            await asyncio.sleep(SLOW_SECONDS)
    except Lost:
        client.excuse(connection)
        raise
    client.check(await client.read(connection), 200, body)


async def slow_reader(client):
    """Takes a large answer in small sips."""
    client.asked = "GET /bytes/1000000, taken slowly"
    connection = await client.connect(tcp=True, receive_bytes=8192)
    await client.send(connection, request_bytes("GET", "/bytes/1000000"))
    try:
        answer = await connection.read_head()
        client.check(answer, 200)
        parts, left = [], 1000000
        while left > 0:
            part = await connection.read_some(min(left, 32768))
            if not part:
                raise Lost(f"closed with {left} bytes to come")
            parts.append(part)
            left -= len(part)
            await asyncio.sleep(0.01)
    except Lost:
        client.excuse(connection)
        raise
    if b"".join(parts) != pattern(1000000):
        raise Wrong("other bytes")


async def half_head(client):
    """Sends half a head and waits: 408."""
    client.asked = "half a head"
    connection = await client.connect()
    client.check(await client.exchange(connection, GET + b"X-Half:"), 408)


async def half_body(client):
    """Sends half a body and waits: 408."""
    client.asked = "half a body"
    connection = await client.connect()
    client.check(await client.exchange(connection, POST + b"Content-Length: 100\r\n\r\n" + b"x" * 50), 408)


async def never_reads(client):
    """Asks for more than fits anywhere and takes none of it: cut."""
    client.asked = "an answer that nobody takes"
    connection = await client.connect(tcp=True, receive_bytes=4096)
    await client.send(connection, request_bytes("GET", "/flood"))
    await asyncio.sleep(NEVER_SECONDS)
    try:
        end = (await connection.read_end())[-5:]
    except Lost:
        return
    if end == b"0\r\n\r\n":
        raise Wrong("all of it came")


async def leave_idle(client):
    """Connects, or asks once, and goes away."""
    connection = await client.connect()
    if client.random.random() < 0.5:
        client.check(await client.exchange(connection, request_bytes("GET", "/")), 200, b"hello\n")
    leave(client, connection)


def leave(client, connection):
    if client.random.random() < 0.5:
        connection.reset()
    else:
        connection.close()


LEFT_BEHIND = [
    GET, request_bytes("GET", "/sleep/5"), request_bytes("GET", "/stream/1000"), request_bytes("GET", "/bytes/5000000"),
    request_bytes("GET", "/proxy/hang"), request_bytes("GET", "/five/1"), request_bytes("GET", "/offload/10000"),
    request_bytes("GET", "/thread/10000"), request_bytes("GET", "/process/10000"), request_bytes("GET", "/tasks/50"),
    request_bytes("GET", "/listen/nobody"), request_bytes("POST", "/program", (), b"x" * 5000),
    POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 100000,
    b"POST /through HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"POST /proxy/plain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100000,
    request_bytes("GET", "/stream/20") * 10, request_bytes("POST", "/locked/1", (), b""),
]


async def leave_early(client):
    """Asks for something and goes away at any moment."""
    data = client.random.choice(LEFT_BEHIND)
    client.asked = f"{data[:40]!r}, left"
    connection = await client.connect()
    try:
        await asyncio.wait_for(connection.send(data), 1)
        await asyncio.wait_for(connection.read_some(), client.random.random() * 0.2)
    except (Lost, asyncio.TimeoutError):
        pass
    leave(client, connection)


async def loris(client):
    """Thirty at once that hold half a head, and leave before their time is over."""
    client.asked = "thirty halves of heads"
    for _ in range(30):
        connection = await client.connect()
        await connection.send(GET)
    await asyncio.sleep(client.random.random())
    for connection in list(client.mine):
        leave(client, connection)


RUDE = [
    (30, malformed), (5, noise), (5, wrong_door), (5, redirected), (4, slow_request), (1, slow_reader), (0.3, half_head),
    (0.3, half_body), (0.2, never_reads), (10, leave_idle), (30, leave_early), (0.3, loris),
]
TIMED = (slow_request, slow_reader, half_head, half_body, never_reads, loris)
