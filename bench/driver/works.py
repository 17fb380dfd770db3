"""What is asked of the servers: the request of each work, its right answer, and the figures to reach."""

import json
from dataclasses import dataclass

HELLO = "Hello, world!\n"
CLIENT = "bench/1.0"


def build_document():
    """A JSON object of exactly 1024 bytes, with what every JSON library keeps: no floats, no empty
    arrays, nothing beyond 2^53."""
    document = {
        "order": 48151623,
        "paid": True,
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com", "since": 1843},
        "tags": ["express", "gift", "fragile"],
        "items": [
            {"sku": f"A-{1000 + i}", "title": f"Part number {i}", "quantity": i + 1, "cents": 995 * (i + 1)}
            for i in range(10)
        ],
        "note": "",
    }
    missing = 1024 - len(json.dumps(document, separators=(",", ":")))
    document["note"] = ("Leave it with the neighbours. " * 40)[:missing]
    return document


@dataclass(frozen=True)
class Target:
    """One figure to reach: moonloop's `metric` against a factor of a peer's, or a fixed value."""

    metric: str  # "cpu_us": at most; "rps": at least
    factor: float
    peer: str = ""  # empty: `value` is the reference
    value: float = 0
    reference: str = ""  # how to call `value`


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    path: str
    answer: object  # str: this very body; anything else: a body that decodes to this JSON value
    connections: int = 64
    pipeline: int = 1  # requests in one write
    method: str = "GET"
    headers: tuple = ()
    body: bytes = b""
    targets: tuple = ()
    # Shorter rounds would count the start as slowness: the first answers come after the first sleep,
    # and what the last ones waited for is lost.
    min_seconds: int = 1
    # Whether its handlers ask another server: limit-epoll, on the load generator's core.
    needs_origin: bool = False

    def request(self):
        """The bytes of one request."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1", *self.headers]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def is_right(self, body):
        if isinstance(self.answer, str):
            return body == self.answer.encode()
        try:
            return json.loads(body) == self.answer
        except ValueError:
            return False


DOCUMENT = build_document()

WORKS = [
    Work(
        "hello",
        "hello, 64 keep-alive connections",
        "/",
        HELLO,
        targets=(Target("cpu_us", 1.15, "limit-uv"), Target("rps", 1.35, "nginx")),
    ),
    Work(
        "pipelined",
        "hello, 64 connections, 16 requests pipelined",
        "/",
        HELLO,
        pipeline=16,
        targets=(Target("cpu_us", 1.6, "limit-uv"), Target("rps", 6, "nginx")),
    ),
    Work(
        "json",
        "JSON object",
        "/json",
        {"message": "Hello, World!"},
        targets=(Target("cpu_us", 1.15, "limit-lua"), Target("rps", 1.3, "nginx")),
    ),
    Work(
        "params",
        "two path parameters, a query value, a header, answered as JSON",
        "/users/42/posts/ahead-of-time?q=lua",
        {"id": 42, "slug": "ahead-of-time", "q": "lua", "client": CLIENT},
        headers=(f"X-Client: {CLIENT}",),
        targets=(Target("cpu_us", 0.65, "nginx"),),
    ),
    Work(
        "post",
        "POST of 1 KB of JSON, decoded and encoded",
        "/echo",
        DOCUMENT,
        method="POST",
        body=json.dumps(DOCUMENT, separators=(",", ":")).encode(),
        targets=(Target("cpu_us", 0.75, "nginx"),),
    ),
    Work(
        "sleep",
        "sleep 50 ms, 512 connections",
        "/sleep",
        HELLO,
        connections=512,
        min_seconds=6,
        targets=(
            Target("cpu_us", 0.7, "nginx"),
            Target("rps", 0.97, value=512 / 0.05, reference="the 10,240 that 512 connections can ask for"),
        ),
    ),
    Work(
        "fetch",
        "one GET of a pooled origin",
        "/fetch",
        HELLO,
        needs_origin=True,
        targets=(Target("cpu_us", 1, value=9, reference="the 9 µs of one GET"),),
    ),
    Work(
        "proxy",
        "a GET passed on to a pooled origin",
        "/proxy",
        HELLO,
        needs_origin=True,
    ),
    Work(
        "fanout",
        "five GETs at once, answered with the five bodies",
        "/fanout",
        HELLO * 5,
        needs_origin=True,
        targets=(
            Target("cpu_us", 1, value=36, reference="the 36 µs of a fan-out"),
            Target("cpu_us", 0.526, "nginx"),
            Target("cpu_us", 0.714, "nginx-subrequests"),
        ),
    ),
]
