"""Another implementation of WebSockets (python3-websockets): an echo server, or a client that tries an echo server.

    websocket_peer.py serve [CERTIFICATE KEY]   prints its port; "zip" as the path: with permessage-deflate
    websocket_peer.py ask URL [CA_FILE]         ends with 0 when all came back as it was sent
"""
import asyncio
import os
import ssl
import sys

import websockets


async def echo(ws):
    async for message in ws:
        if message == "close":
            await ws.close(4001, "as asked")
            return
        await ws.send(message)


async def serve(certificate=None, key=None):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if tls:
        tls.load_cert_chain(certificate, key)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat.v1"], ssl=tls) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


MESSAGES = ["", b"", "hello", "κόσμε" * 50, b"\0\xff" * 40000, "x" * 65536, os.urandom(50000)]


async def ask_with(url, compression, tls):
    async with websockets.connect(url, compression=compression, max_size=None, ssl=tls) as ws:
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.recv() == message, "another message came back"
        await ws.send(["in ", "several ", "fragments"])
        assert await ws.recv() == "in several fragments"
        await asyncio.wait_for(await ws.ping(b"ping"), 5)
        for i in range(500):
            await ws.send("message %d" % i)
        for i in range(500):
            assert await ws.recv() == "message %d" % i
        if compression:
            assert ws.extensions, "no extension was agreed on"
    assert ws.close_code == 1000, ws.close_code


async def ask(url, ca_file=None):
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    await ask_with(url, None, tls)
    await ask_with(url, "deflate", tls)
    print("good")


if sys.argv[1] == "serve":
    asyncio.run(serve(*sys.argv[2:]))
else:
    asyncio.run(ask(*sys.argv[2:]))
