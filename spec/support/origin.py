"""An origin that does what a spec tells it, byte for byte. Prints its port; ends when its input does.

  /echo                            answers with the request as it came
  /reply?bytes=..&then=..&size=..  sends the bytes, in pieces of `size`; then keep, close, reset, drop (closes at
                                   the first byte of the next request) or hang (until the client closes)
                                   or, with TLS, cut (closes without a goodbye), garbage (bytes that are no TLS)
  /tls                             "TLSv1.3 new|resumed http/1.1 CN", of the client's certificate
  /sized/N                         N bytes of body
  /hang                            never answers
  /gone                            answers once another connection that hung was closed by its client
  /connections                     how many were accepted since the last time
  /script?c=..&c=..                answers with the port of a server whose first connection does the first of these,
                                   the second the second, and each after them the last; see Script
  /release?port=..                 lets one connection of such a server that holds go on
  /log?port=..&count=..            what such a server has seen, a line each, once there are so many
"""
import os
import socket
import ssl
import struct
import sys
import threading
import urllib.parse

accepted = 0
gone = threading.Semaphore(0)


def read_request(file):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None, None
        head += line
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head, file.read(length) if length else b""


def answer(body, more=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


def wait_for_close(connection):
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass
    gone.release()


def reply(connection, query):
    raw = urllib.parse.parse_qs(query, keep_blank_values=True, encoding="latin-1")
    data = raw["bytes"][0].encode("latin-1")
    size = int(raw.get("size", ["0"])[0]) or len(data) or 1
    for at in range(0, len(data), size):
        connection.sendall(data[at : at + size])
        if size < len(data):
            threading.Event().wait(0.001)
    return raw.get("then", ["keep"])[0]


class Script:
    """One connection of a scripted server. A script is steps separated by blanks, each a word and an argument:

    read          a request with its body; logged as "request" and its first line
    head          only the head of one
    raw           a request with its body, whatever its framing; logged as "raw" and all its bytes, percent-encoded
    more=N        so many bytes more; logged the same way
    skip=N        so many bytes more
    hold          reads nothing until /release?port=.. is asked for
    send=BYTES    percent-encoded; with send:N=BYTES in pieces of N bytes
    drip=BYTES    the same bytes again and again, every 10 ms
    pause         for 2 ms, so that what is sent around it does not travel together
    shut          ends the sending side
    wait          until the client ends; logged as "end" or "reset", and with how many bytes after the last read
    reset, close
    """

    def __init__(self, server, connection):
        self.server, self.connection, self.buffer = server, connection, bytearray()

    def fill(self):
        data = self.connection.recv(65536)
        self.buffer += data
        return data != b""

    def read(self, with_body):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                raise EOFError
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if with_body and line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(self.buffer) < length:
            if not self.fill():
                raise EOFError
        self.buffer = self.buffer[length:]
        self.server.note("request " + head.split(b"\r\n")[0].decode("latin-1"))

    def need(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise EOFError

    def take(self, count):
        self.need(count)
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def take_until(self, end):
        while end not in self.buffer:
            self.need(len(self.buffer) + 1)
        return self.take(self.buffer.index(end) + len(end))

    def raw(self):
        head = self.take_until(b"\r\n\r\n")
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = self.take(int(line.split(b":")[1]))
            elif line.startswith(b"transfer-encoding: chunked"):
                size = -1
                while size != 0:
                    line = self.take_until(b"\r\n")
                    size = int(line, 16)
                    body += line + self.take(size + 2)
        self.server.note("raw " + urllib.parse.quote_from_bytes(head + body))

    def send(self, data, size):
        for at in range(0, len(data), size or len(data) or 1):
            if at > 0:
                threading.Event().wait(0.0005)
            self.connection.sendall(data[at : at + (size or len(data))])

    def wait(self):
        try:
            while self.fill():
                pass
            self.server.note("end %d" % len(self.buffer))
        except OSError:
            self.server.note("reset %d" % len(self.buffer))

    def step(self, word, argument):
        word, _, size = word.partition(":")
        data = urllib.parse.unquote_to_bytes(argument)
        if word in ("read", "head"):
            self.read(word == "read")
        elif word == "raw":
            self.raw()
        elif word == "more":
            self.server.note("raw " + urllib.parse.quote_from_bytes(self.take(int(data))))
        elif word == "skip":
            self.take(int(data))
        elif word == "hold":
            self.server.released.acquire()
        elif word == "send":
            self.send(data, int(size or 0))
        elif word == "drip":
            while True:
                self.connection.sendall(data)
                threading.Event().wait(0.01)
        elif word == "pause":
            threading.Event().wait(0.002)
        elif word == "shut":
            self.connection.shutdown(socket.SHUT_WR)
        elif word == "wait":
            self.wait()
        elif word == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif word != "close":
            raise ValueError(word)

    def run(self, steps):
        try:
            for step in steps:
                word, _, argument = step.partition("=")
                self.step(word, argument)
        except EOFError:
            self.server.note("end %d" % len(self.buffer))
        except OSError:
            self.server.note("reset %d" % len(self.buffer))
        self.connection.close()
        self.server.note("closed")


class ScriptedServer:
    servers = {}

    def __init__(self, scripts):
        self.scripts, self.log, self.changed = scripts, [], threading.Condition()
        self.released = threading.Semaphore(0)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        ScriptedServer.servers[self.port] = self
        threading.Thread(target=self.accept, daemon=True).start()

    def note(self, text):
        with self.changed:
            self.log.append(text)
            self.changed.notify_all()

    def accept(self):
        number = 0
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            steps = self.scripts[min(number, len(self.scripts) - 1)].split()
            number += 1
            self.note("connection")
            threading.Thread(target=Script(self, connection).run, args=(steps,), daemon=True).start()

    def read_log(self, count):
        with self.changed:
            self.changed.wait_for(lambda: len(self.log) >= count, 10)
            return "\n".join(self.log)


def control(path, query):
    given = urllib.parse.parse_qs(query, keep_blank_values=True)
    if path == "/script":
        return b"%d" % ScriptedServer(given["c"]).port
    server = ScriptedServer.servers[int(given["port"][0])]
    if path == "/release":
        server.released.release()
        return b""
    return server.read_log(int(given["count"][0])).encode("latin-1")


def describe_tls(connection):
    names = (connection.getpeercert() or {}).get("subject", ())
    common = [value for parts in names for name, value in parts if name == "commonName"]
    return " ".join([connection.version(), "resumed" if connection.session_reused else "new",
                     connection.selected_alpn_protocol() or "-", *common]).encode()


def tls_context(certificate, key, options):
    """Options are words: max=TLSv1_2, client_ca=FILE, alpn=NAME, forget (tickets of earlier connections are not
    known), choke=N (the Nth connection is closed in its handshake)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if "max" in options:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = getattr(ssl.TLSVersion, options["max"])
    if "weak" in options:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(certificate, key)
    if "client_ca" in options:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options["client_ca"])
    if "alpn" in options:
        context.set_alpn_protocols([options["alpn"]])
    return context


def serve_one(connection, head, body):
    global accepted
    target = head.split(b" ")[1].decode("latin-1")
    path, _, query = target.partition("?")
    then = "keep"
    if path == "/echo":
        connection.sendall(answer(head + body))
    elif path == "/reply":
        then = reply(connection, query)
    elif path == "/tls":
        connection.sendall(answer(describe_tls(connection)))
    elif path.startswith("/sized/"):
        connection.sendall(answer(b"x" * int(path[7:])))
    elif path == "/hang":
        then = "hang"
    elif path == "/gone":
        gone.acquire()
        connection.sendall(answer(b"gone"))
    elif path in ("/script", "/log", "/release"):
        connection.sendall(answer(control(path, query)))
    elif path == "/connections":
        count, accepted = accepted, 0
        connection.sendall(answer(b"%d" % count))
    else:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    return then


def serve(connection, context):
    try:
        if context == "choke":
            connection.recv(1)
            raise OSError
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        elif connection.recv(1, socket.MSG_PEEK) == b"\x16":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        file = connection.makefile("rb")
        while True:
            head, body = read_request(file)
            if head is None:
                break
            then = serve_one(connection, head, body)
            if then == "hang":
                wait_for_close(connection)
                break
            if then == "drop":
                file.read(1)
                break
            if then == "garbage":
                os.write(connection.fileno(), b"this is no TLS at all" * 10)
                wait_for_close(connection)
                break
            if then in ("close", "cut"):
                break
            if then == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
        if context and then != "cut":
            connection = connection.unwrap()
    except (OSError, ValueError):
        pass
    try:
        file.close()
    except (OSError, UnboundLocalError):
        pass
    connection.close()


def main():
    global accepted
    context = None
    options = dict(word.partition("=")[::2] for word in sys.argv[3:])
    if len(sys.argv) > 2:
        context = tls_context(sys.argv[1], sys.argv[2], options)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def accept():
        global accepted
        while True:
            connection, _ = listener.accept()
            accepted += 1
            its = context
            if "forget" in options:
                its = tls_context(sys.argv[1], sys.argv[2], options)
            elif options.get("choke") == str(accepted):
                its = "choke"
            threading.Thread(target=serve, args=(connection, its), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
