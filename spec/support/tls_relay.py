"""What comes plain goes on with TLS, so that specs can send raw bytes to a server that has it.

    python3 tls_relay.py PORT CA_FILE [bytes]

Prints its own port, then a line for each connection at its end: "closed" when the server said so within TLS, "cut"
when it did not, "left" when the plain side was the first to go (its end is passed on without a word of TLS).
With "bytes" each byte that goes to the server is a record of its own.
"""

import select
import socket
import ssl
import sys
import threading

PIECE = 65536


class Relay:
    def __init__(self, plain, tls, step):
        self.plain, self.tls, self.step = plain, tls, step
        self.to_tls, self.to_plain = bytearray(), bytearray()
        self.end = None
        plain.setblocking(False)
        tls.setblocking(False)

    def read_tls(self):
        try:
            while len(self.to_plain) < 4 * PIECE:
                data = self.tls.recv(PIECE)
                if not data:
                    self.end = "closed"
                    return
                self.to_plain += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ssl.SSLEOFError, ConnectionError):
            self.end = "cut"

    def write_tls(self):
        try:
            while self.to_tls:
                sent = self.tls.send(self.to_tls[: self.step])
                del self.to_tls[:sent]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ssl.SSLError, OSError):
            self.to_tls.clear()  # the reading side says how it ended

    def read_plain(self):
        try:
            data = self.plain.recv(PIECE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.end = "left"
        self.to_tls += data

    def write_plain(self):
        try:
            sent = self.plain.send(self.to_plain)
            del self.to_plain[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.end = "left"

    def run(self):
        while not self.end:
            readers = [self.tls] if len(self.to_plain) < 4 * PIECE else []
            readers += [self.plain] if len(self.to_tls) < 4 * PIECE else []
            writers = ([self.tls] if self.to_tls else []) + ([self.plain] if self.to_plain else [])
            readable, writable, _ = select.select(readers, writers, [])
            if self.plain in readable:
                self.read_plain()
            if self.to_tls:
                self.write_tls()
            if self.tls in readable and not self.end:
                self.read_tls()
            if self.to_plain and (self.plain in writable or self.end):
                self.write_plain()
        if self.end != "left":
            self.plain.setblocking(True)
            self.plain.sendall(self.to_plain)
        self.plain.close()
        self.tls.close()
        print(self.end, flush=True)


def serve(port, context, step):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        plain, _ = listener.accept()
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
        threading.Thread(target=Relay(plain, tls, step).run, daemon=True).start()


serve(int(sys.argv[1]), ssl.create_default_context(cafile=sys.argv[2]), 1 if "bytes" in sys.argv[3:] else PIECE)
