"""What well-behaved clients do. Each act is a function of a Client; it raises what is wrong with an answer."""

import asyncio
import json
from urllib.parse import quote, urlencode

from soaking.load import Client
from soaking.origin import item
from soaking.wire import Wrong, chunked, request_bytes

PATTERN = b"0123456789abcdef"
MOST_BODY = 900_000  # max_body is 1 MiB
TOPIC_SECONDS = 15


def pattern(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def sum_to(number):
    return b"%d" % (number * (number + 1) // 2)


async def hello(client: Client):
    await client.expect("GET", "/", b"hello\n")


async def hello_fresh(client):
    await client.expect("GET", "/", b"hello\n", is_fresh=True)


async def hello_last(client):
    answer = await client.expect("GET", "/", b"hello\n", fields=[("Connection", "close")])
    if not answer.is_last:
        raise Wrong("no Connection: close")


async def head(client):
    answer = await client.expect("HEAD", "/", b"")
    if answer.fields.get("content-length") != "6":
        raise Wrong(f"a length of {answer.fields.get('content-length')}")


async def nothing(client):
    await client.expect("GET", "/nothing", b"", status=204)


async def item_as_json(client):
    number, tag = client.random.randrange(10**6), "ä b&c"
    fields = [("User-Agent", f"soak/{number}")]
    answer = await client.ask("GET", f"/item/{number}/word?tag={quote(tag)}", fields=fields)
    client.check(answer, 200)
    wanted = {"id": number, "word": "word", "tag": tag, "agent": f"soak/{number}"}
    if json.loads(answer.body) != wanted:
        raise Wrong(f"{answer.body!r} instead of {wanted}")


async def json_back(client):
    value = {"numbers": [client.random.random() for _ in range(20)], "text": "ö" * client.random.randrange(200)}
    answer = await client.ask("POST", "/json", json.dumps(value).encode(), [("Content-Type", "application/json")])
    client.check(answer, 200)
    if json.loads(answer.body) != value:
        raise Wrong("another value")


async def form(client):
    body = urlencode({"a": "x y&z", "b": "ü"}).encode()
    answer = await client.ask("POST", "/form", body, [("Content-Type", "application/x-www-form-urlencoded")])
    client.check(answer, 200)
    if json.loads(answer.body) != {"a": "x y&z", "b": "ü"}:
        raise Wrong(f"{answer.body!r}")


async def pipelined(client):
    connection = await client.connect()
    client.asked = "five requests in one write"
    numbers = [client.random.randrange(1000) for _ in range(5)]
    await client.send(connection, b"".join(request_bytes("GET", f"/bytes/{number}") for number in numbers))
    for number in numbers:
        answer = await client.read(connection)
        client.check(answer, 200, pattern(number))
        if answer.is_last:
            return  # of a worker that leaves: what is behind it was not looked at (RFC 9112, 9.6)


async def upload(client):
    body = client.random.randbytes(int(client.random.random() ** 4 * MOST_BODY))
    await client.expect("POST", "/echo", body, body=body)


async def upload_streamed(client):
    body = client.random.randbytes(int(client.random.random() ** 4 * MOST_BODY))
    await client.expect("POST", "/through", body, body=body)


async def upload_chunked(client):
    parts = [client.random.randbytes(client.random.randrange(1, 5000)) for _ in range(client.random.randrange(30))]
    client.asked = f"POST /through in {len(parts)} chunks"
    connection = await client.connect()
    data = request_bytes("POST", "/through", [("Transfer-Encoding", "chunked")]) + chunked(parts)
    client.check(await client.exchange(connection, data, "POST"), 200, b"".join(parts))


async def upload_when_told(client):
    body = client.random.randbytes(3000)
    client.asked = "POST /echo, Expect: 100-continue"
    connection = await client.connect()
    fields = [("Expect", "100-continue"), ("Content-Length", len(body))]
    await client.send(connection, request_bytes("POST", "/echo", fields))
    try:
        interim = await connection.read_until(b"\r\n\r\n")
    except Exception:
        client.excuse(connection)
        raise
    if not interim.startswith(b"HTTP/1.1 100 "):
        raise Wrong(f"{interim!r} instead of 100")
    client.check(await client.exchange(connection, body, "POST"), 200, body)


async def upload_unread(client):
    await client.expect("POST", "/unread", b"not looked at\n", body=client.random.randbytes(2000))


async def download(client):
    size = int(client.random.random() ** 4 * 2_000_000)
    await client.expect("GET", f"/bytes/{size}", pattern(size))


async def stream(client):
    count = client.random.randrange(1, 40)
    await client.expect("GET", f"/stream/{count}", b"".join(b"%d\n" % i for i in range(1, count + 1)))


async def sleep(client):
    await client.expect("GET", f"/sleep/{client.random.random() * 0.5:.3f}", b"awake\n")


async def sleep_long(client):
    await client.expect("GET", "/sleep/3", b"awake\n")


async def tasks(client):
    answer = await client.ask("GET", "/tasks/20")
    client.check(answer, 200)
    if json.loads(answer.body) != {"squares": [i * i for i in range(1, 21)], "first": "quick"}:
        raise Wrong(f"{answer.body!r}")


async def late(client):
    await client.expect("GET", "/late", None, status=504)


async def channel(client):
    await client.expect("GET", "/channel/50", sum_to(50))


async def fetch(client):
    number = client.random.randrange(10000)
    await client.expect("GET", f"/fetch/{number}", item(number))


async def fetch_sealed(client):
    number = client.random.randrange(10000)
    await client.expect("GET", f"/sealed/{number}", item(number))


async def fetch_five(client):
    number = client.random.randrange(10000)
    await client.expect("GET", f"/five/{number}", b"".join(item(number + i) for i in range(1, 6)))


async def fetch_hung(client):
    await client.expect("GET", "/hung", None, status=500)


async def fetch_cut(client):
    await client.expect("GET", "/cut", None, status=500)


async def proxied(client):
    body = client.random.randbytes(client.random.randrange(20000))
    place = client.random.choice(("/proxy/plain", "/proxy/chunks"))
    await client.expect("POST", place, b"POST " + body, body=body)


async def proxied_get(client):
    number = client.random.randrange(10000)
    await client.expect("GET", f"/proxy/item/{number}?a=b", item(number))


async def offload(client):
    number = client.random.randrange(100000)
    await client.expect("GET", f"/offload/{number}", sum_to(number))


async def on_thread(client):
    number = client.random.randrange(100000)
    await client.expect("GET", f"/thread/{number}", sum_to(number))


async def in_process(client):
    number = client.random.randrange(100000)
    await client.expect("GET", f"/process/{number}", sum_to(number))


async def program(client):
    await client.expect("POST", "/program", b"HELLO, WORLD", body=b"hello, world")


async def count(client):
    name = f"count-{client.random.randrange(16)}"
    client.marks["asked " + name] += 1
    answer = await client.ask("POST", f"/count/{name}")
    client.check(answer, 200)
    client.marks["answered " + name] += 1
    if int(answer.body) > client.marks["asked " + name]:
        raise Wrong(f"{name} is {answer.body!r} after {client.marks['asked ' + name]} requests")


async def note(client):
    place, text = f"/notes/{client.random.randrange(10**9)}", client.random.randbytes(100).hex().encode()
    await client.expect("PUT", place, b"", status=204, body=text)
    await client.expect("GET", place, text)
    await client.expect("DELETE", place, b"true")
    await client.expect("GET", place, None, status=404)


async def locked(client):
    await client.expect("POST", f"/locked/{client.random.randrange(4)}", b"held\n")


async def topic(client):
    """What one connection says, another hears, whichever workers they have come to."""
    room, text = client.random.randrange(10**9), client.random.randbytes(50).hex().encode()
    client.asked = f"GET /listen/{room}"
    listener = await client.connect()
    try:
        await client.send(listener, request_bytes("GET", f"/listen/{room}"))
        client.check(await listener.read_head(), 200)
        first = await listener.read_until(b"ready\n\r\n")
        await client.expect("POST", f"/say/{room}", b"", status=204, body=text)
        client.asked = f"GET /listen/{room}"
        rest = await asyncio.wait_for(listener.read_until(b"0\r\n\r\n"), TOPIC_SECONDS)
    except asyncio.TimeoutError:
        raise Wrong("what was said was not heard") from None
    except Exception:
        client.excuse(listener)
        raise
    if not first.endswith(b"ready\n\r\n") or text not in rest:
        raise Wrong(f"heard {rest[:100]!r} instead of {text!r}")


async def after(client):
    client.marks["asked after"] += 1
    await client.expect("POST", "/after", b"answered\n", body=b"")
    client.marks["answered after"] += 1


async def background(client):
    await client.expect("POST", "/background", b"begun\n", body=b"")


async def error(client):
    await client.expect("GET", "/error", None, status=500)


async def abort(client):
    status = client.random.choice((400, 403, 404, 409, 418, 429, 500, 503))
    await client.expect("GET", f"/abort/{status}", b"aborted\n", status=status)


async def missing(client):
    await client.expect("GET", f"/none/{client.random.random()}", None, status=404)


async def wrong_method(client):
    await client.expect("DELETE", "/json", None, status=405)


async def bad_json(client):
    await client.expect("POST", "/json", None, status=400, body=b'{"a": }')


async def runaway(client):
    await client.expect("GET", "/runaway", None, status=500)


COMMON = [
    (100, hello), (20, hello_fresh), (10, hello_last), (10, head), (10, nothing), (60, item_as_json), (40, json_back),
    (20, form), (10, pipelined), (20, upload), (10, upload_streamed), (10, upload_chunked), (5, upload_when_told),
    (10, upload_unread), (20, download), (15, stream), (20, sleep), (1, sleep_long), (10, tasks), (5, late),
    (10, channel), (40, fetch), (10, fetch_sealed), (10, fetch_five), (2, fetch_hung), (4, fetch_cut), (15, proxied),
    (15, proxied_get), (20, offload), (10, on_thread), (10, in_process), (2, program), (40, count), (15, note),
    (10, locked), (10, topic), (15, after), (5, background), (5, error), (10, abort), (10, missing),
    (5, wrong_method), (5, bad_json), (0.05, runaway),
]
TIMED = (topic, late, fetch_hung, sleep_long)
