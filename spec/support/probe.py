"""A client that counts what it loses: keep-alive and fresh connections ask until SIGTERM comes, each with a
pause of PAUSE seconds between two requests. Prints how many were answered, now and then; at the end
{"requests": N, "fresh": N, "failures": [...]}.

    python3 probe.py PORT TARGET EXPECTED_BODY MOST_FAILURES PAUSE

A connection is replaced when the server says `Connection: close`; anything else that ends one, and every
answer but 200 with the expected body, is a failure. One exception: a kept connection that this side has left
idle for longer than IDLE_SECONDS, since the machine was busy, may have been closed before the next request.
"""

import json
import signal
import socket
import sys
import threading
import time

KEPT, FRESH = 6, 2
IDLE_SECONDS = 0.4  # a worker that leaves gives an idle connection half a second
MOST_FAILURES = int(sys.argv[4])  # then it gives up
PAUSE = float(sys.argv[5])


class Probe:
    def __init__(self, port, target, body):
        self.address = ("127.0.0.1", port)
        self.target = target
        self.body = body
        self.is_over = False
        self.lock = threading.Lock()
        self.counts = {"requests": 0, "fresh": 0}
        self.failures = []

    def fail(self, what):
        with self.lock:
            self.failures.append(what)

    def connect(self):
        connection = socket.create_connection(self.address, timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, connection, close):
        """One request; whether the connection can be used again."""
        head = f"GET {self.target} HTTP/1.1\r\nHost: probe\r\n" + ("Connection: close\r\n" if close else "") + "\r\n"
        connection.sendall(head.encode())
        text = b""
        while b"\r\n\r\n" not in text:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError(f"closed after {len(text)} bytes of the head")
            text += more
        head, _, body = text.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        length = int(fields["content-length"])
        while len(body) < length:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError(f"closed after {len(body)} of {length} bytes of the body")
            body += more
        if not lines[0].startswith("http/1.1 200 ") or body != self.body:
            raise ValueError(f"answered {lines[0]} {body[:100]!r}")
        return fields.get("connection") != "close"

    def run(self, kept):
        connection, count, answered = None, 0, 0.0
        was_idle = False
        while not self.is_over and len(self.failures) < MOST_FAILURES:
            try:
                if connection is None:
                    connection, count = self.connect(), 0
                was_idle = count > 0 and time.monotonic() - answered > IDLE_SECONDS
                is_open = self.ask(connection, not kept)
                answered = time.monotonic()
                if PAUSE:
                    time.sleep(PAUSE)
            except (OSError, ValueError, KeyError) as error:
                is_late = was_idle and ("0 bytes of the head" in str(error) or isinstance(error, ConnectionResetError))
                if not is_late:
                    self.fail(f"{'kept' if kept else 'fresh'}, request {count} of its connection: {error!r}")
                is_open = False
            count += 1
            with self.lock:
                self.counts["requests" if kept else "fresh"] += 1
                total = sum(self.counts.values())
                if total % 20 == 0:
                    print(total, flush=True)
            if not is_open and connection is not None:
                connection.close()
                connection = None


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    probe = Probe(int(sys.argv[1]), sys.argv[2], sys.argv[3].encode())
    threads = [threading.Thread(target=probe.run, args=(i < KEPT,)) for i in range(KEPT + FRESH)]
    for thread in threads:
        thread.start()
    signal.sigwait({signal.SIGTERM})
    probe.is_over = True
    for thread in threads:
        thread.join()
    print(json.dumps({**probe.counts, "failures": probe.failures}))


main()
