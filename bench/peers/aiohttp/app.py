"""fetch and fanout on aiohttp, one process, access log off: its server and its client.

    app.py PORT
"""

import asyncio
import os
import sys

from aiohttp import ClientSession, TCPConnector, web

ORIGIN = os.environ.get("BENCH_ORIGIN", "")


async def get(session, path):
    async with session.get(ORIGIN + path, raise_for_status=True) as answer:
        return await answer.read()


async def fetch(request):
    body = await get(request.app["session"], "/")
    return web.Response(body=body, content_type="text/plain", charset="utf-8")


async def fan_out(request):
    session = request.app["session"]
    bodies = await asyncio.gather(*(get(session, f"/{i}") for i in range(1, 6)))
    return web.Response(body=b"".join(bodies), content_type="text/plain", charset="utf-8")


async def keep_session(app):
    app["session"] = ClientSession(connector=TCPConnector(limit=512))
    yield
    await app["session"].close()


app = web.Application()
app.add_routes([web.get("/fetch", fetch), web.get("/fanout", fan_out)])
app.cleanup_ctx.append(keep_session)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, backlog=1024)
