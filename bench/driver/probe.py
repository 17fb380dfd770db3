"""Asks a server once, before any load: does it give the right answer, and how many bytes has it?"""

import socket

from driver.process import ServerError


def read_answer(stream):
    """One answer: (status, body, bytes on the wire). Raises ServerError unless it has a length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            raise ServerError(f"the answer ends in its head: {head!r}")
        head += line
    status = int(head.split(b" ", 2)[1])
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            body = stream.read(int(value))
            return status, body, len(head) + len(body)
    raise ServerError(f"status {status} without Content-Length: {head!r}")


def probe(port, work, seconds=3):
    """Sends one batch of the work over a connection and checks every answer in it.

    Returns (body length, shortest whole answer), in bytes. Raises ServerError for a wrong answer
    and OSError when the server cannot be reached or does not answer in `seconds`.
    """
    lengths = []
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        stream = connection.makefile("rb")
        connection.sendall(work.request() * work.pipeline)
        for number in range(1, work.pipeline + 1):
            try:
                status, body, length = read_answer(stream)
            except TimeoutError:
                raise ServerError(f"no answer {number} of {work.pipeline} in {seconds} s") from None
            if status != 200 or not work.is_right(body):
                raise ServerError(f"wrong answer: status {status}, body {body[:200]!r}")
            lengths.append(length)
    return len(body), min(lengths)
