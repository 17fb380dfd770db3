"""A TLS client that sends something ahead of its handshake: PORT HEX STEP [CA].

The bytes of HEX and the whole conversation leave in pieces of STEP bytes (0: as large as they come, the
header glued to the first record). Prints the body of GET /.
"""
import socket
import ssl
import sys

port, header, step = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=sys.argv[4])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
raw = socket.create_connection(("127.0.0.1", port), timeout=20)
raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def flush():
    global header
    data, header = header + outgoing.read(), b""
    pieces = [data] if step == 0 else [data[i:i + step] for i in range(0, len(data), step)]
    for piece in pieces:
        raw.sendall(piece)


def until(action):
    while True:
        try:
            result = action()
            flush()
            return result
        except ssl.SSLWantReadError:
            flush()
            data = raw.recv(65536)
            if data:
                incoming.write(data)
            else:
                incoming.write_eof()


until(tls.do_handshake)
until(lambda: tls.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
answer = b""
while True:
    try:
        data = until(lambda: tls.read(65536))
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        break
    if not data:
        break
    answer += data
print(answer.split(b"\r\n\r\n", 1)[1].decode(), end="")
