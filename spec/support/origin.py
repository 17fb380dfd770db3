"""An origin that does what a spec tells it, byte for byte. Prints its port; ends when its input does.

  /echo                            answers with the request as it came
  /reply?bytes=..&then=..&size=..  sends the bytes, in pieces of `size`; then keep, close, reset, drop (closes at
                                   the first byte of the next request) or hang (until the client closes)
  /sized/N                         N bytes of body
  /hang                            never answers
  /gone                            answers once another connection that hung was closed by its client
  /connections                     how many were accepted since the last time
"""
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


def serve_one(connection, head, body):
    global accepted
    target = head.split(b" ")[1].decode("latin-1")
    path, _, query = target.partition("?")
    then = "keep"
    if path == "/echo":
        connection.sendall(answer(head + body))
    elif path == "/reply":
        then = reply(connection, query)
    elif path.startswith("/sized/"):
        connection.sendall(answer(b"x" * int(path[7:])))
    elif path == "/hang":
        then = "hang"
    elif path == "/gone":
        gone.acquire()
        connection.sendall(answer(b"gone"))
    elif path == "/connections":
        count, accepted = accepted, 0
        connection.sendall(answer(b"%d" % count))
    else:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    return then


def serve(connection, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
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
            if then == "close":
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
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def accept():
        global accepted
        while True:
            connection, _ = listener.accept()
            accepted += 1
            threading.Thread(target=serve, args=(connection, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
