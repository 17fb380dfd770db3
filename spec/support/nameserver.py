"""A DNS server for specs, on a free loopback port, UDP and TCP.

    nameserver.py ZONE LOG [ADDRESS]

Prints its port. ZONE is a JSON file that is read anew for each question:
    { "www.test": { "A": ["127.0.0.1"], "AAAA": ["::1"], "ttl": 60 }, "alias.test": { "CNAME": "www.test" } }
A key "www.test/AAAA" counts for that type alone. Beside the records an entry may have
    rcode     a number: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED
    silent    true: no answer at all
    hold      a file: answers once that file is there
    truncate  true: over UDP the TC bit and nothing else
    before    what is sent first: "garbage", "wrong_id", "wrong_question", "wrong_port" (a list)
    soa       the last number of the SOA in a negative answer; without it there is no SOA
Names that are not there are NXDOMAIN. LOG gets a line a question: "udp A www.test".
Serves until it is killed.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading
import time

ZONE, LOG = sys.argv[1:3]
ADDRESS = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
TYPES = {1: "A", 28: "AAAA", 5: "CNAME"}
lock = threading.Lock()


def encode_name(name):
    labels = [part.encode() for part in name.rstrip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


def read_question(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    return ".".join(labels).lower(), TYPES.get(kind, str(kind)), query[12:at + 5]


def read_zone():
    with open(ZONE) as file:
        return json.load(file)


def find(zone, name, kind):
    return zone.get(name + "/" + kind, zone.get(name))


def record(name, kind, ttl, data):
    return encode_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def records(zone, name, kind):
    """Those of the answer; CNAMEs are followed within the zone."""
    entry = find(zone, name, kind)
    out = []
    while entry and "CNAME" in entry and len(out) < 16:
        out.append(record(name, 5, entry.get("ttl", 60), encode_name(entry["CNAME"])))
        name = entry["CNAME"]
        entry = find(zone, name, kind)
    for address in (entry or {}).get(kind, []):
        family, number = (socket.AF_INET, 1) if kind == "A" else (socket.AF_INET6, 28)
        out.append(record(name, number, entry.get("ttl", 60), socket.inet_pton(family, address)))
    return out, entry


def answer(query, over_udp):
    """The messages to send, one after the other."""
    name, kind, question = read_question(query)
    with lock, open(LOG, "a") as log:
        log.write("%s %s %s\n" % ("udp" if over_udp else "tcp", kind, name))
    zone = read_zone()
    entry = find(zone, name, kind)
    first = entry or {}
    if first.get("silent"):
        return []
    while "hold" in first and not os.path.exists(first["hold"]):
        time.sleep(0.002)
    found, last = records(zone, name, kind)
    rcode = first.get("rcode", 0 if last is not None else 3)
    flags = 0x8180 | rcode
    authority = []
    if over_udp and first.get("truncate"):
        flags, found = flags | 0x0200, []
    elif not found and "soa" in first:
        data = encode_name("ns.test") + encode_name("who.test") + struct.pack("!5I", 1, 2, 3, 4, first["soa"])
        authority = [record("test", 6, 3600, data)]

    def message(number, asked):
        head = struct.pack("!HHHHHH", number, flags, 1, len(found), len(authority), 0)
        return head + asked + b"".join(found) + b"".join(authority)

    number = struct.unpack("!H", query[:2])[0]
    out = []
    for what in first.get("before", []):
        wrong = struct.pack("!HHHHHH", number, 0x8180, 1, 1, 0, 0)
        lie = record(name, 1, 60, socket.inet_aton("127.0.0.9"))
        if what == "garbage":
            out.append(("same", b"\xff" * 40))
        elif what == "wrong_id":
            out.append(("same", struct.pack("!H", number ^ 1) + wrong[2:] + question + lie))
        elif what == "wrong_question":
            out.append(("same", wrong + encode_name("other.test") + question[-4:] + lie))
        elif what == "wrong_port":
            out.append(("other", wrong + question + lie))
    return out + [("same", message(number, question))]


def serve_udp(server):
    def one(query, peer):
        for how, message in answer(query, True):
            if how == "same":
                server.sendto(message, peer)
            else:
                with socket.socket(FAMILY, socket.SOCK_DGRAM) as other:
                    other.bind(place(0))
                    other.sendto(message, peer)

    while True:
        query, peer = server.recvfrom(4096)
        threading.Thread(target=one, args=(query, peer), daemon=True).start()


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def serve_connection(connection):
    with connection:
        while True:
            head = read_exactly(connection, 2)
            query = head and read_exactly(connection, struct.unpack("!H", head)[0])
            if not query:
                return
            for _, message in answer(query, False):
                connection.sendall(struct.pack("!H", len(message)) + message)


def serve_tcp(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


def place(port):
    """With the link of fe80::1%eth0."""
    return socket.getaddrinfo(ADDRESS, port, flags=socket.AI_NUMERICHOST)[0][4]


def bind():
    """Both sockets on one port."""
    while True:
        tcp = socket.socket(FAMILY, socket.SOCK_STREAM)
        tcp.bind(place(0))
        udp = socket.socket(FAMILY, socket.SOCK_DGRAM)
        try:
            udp.bind(place(tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            continue
        tcp.listen(16)
        return udp, tcp


udp_socket, tcp_socket = bind()
threading.Thread(target=serve_udp, args=(udp_socket,), daemon=True).start()
threading.Thread(target=serve_tcp, args=(tcp_socket,), daemon=True).start()
print(udp_socket.getsockname()[1], flush=True)
signal.pause()
