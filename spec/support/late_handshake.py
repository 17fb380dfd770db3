"""Asks over TLS on a connection whose handshake begins after the server has closed what was idle.

    python3 late_handshake.py MASTER_PID TLS_PORT UNIX_SOCKET

Prints the first line of the answer.
"""

import os
import signal
import socket
import ssl
import sys


def main():
    master, port, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    late = socket.create_connection(("127.0.0.1", port), timeout=10)
    idle = socket.socket(socket.AF_UNIX)
    idle.settimeout(10)
    idle.connect(path)
    idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")  # the worker has accepted both
    os.kill(master, signal.SIGTERM)
    while idle.recv(65536):
        pass
    context = ssl._create_unverified_context()
    with context.wrap_socket(late) as secured:
        secured.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        print(secured.recv(65536).decode().split("\r\n")[0])


main()
