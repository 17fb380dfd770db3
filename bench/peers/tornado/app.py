"""The works on Tornado, one process, access log off.

    app.py PORT
"""

import asyncio
import json
import logging
import os
import sys

from tornado import web
from tornado.httpclient import AsyncHTTPClient

ORIGIN = os.environ.get("BENCH_ORIGIN", "")


class Hello(web.RequestHandler):
    def get(self):
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("Hello, world!\n")


class Json(web.RequestHandler):
    def get(self):
        self.write({"message": "Hello, World!"})


class UserPost(web.RequestHandler):
    def get(self, user, slug):
        self.write(
            {
                "id": int(user),
                "slug": slug,
                "q": self.get_query_argument("q"),
                "client": self.request.headers["X-Client"],
            }
        )


class Echo(web.RequestHandler):
    def post(self):
        self.write(json.loads(self.request.body))


class Sleep(Hello):
    async def get(self):
        await asyncio.sleep(0.05)
        super().get()


async def get(path):
    return (await AsyncHTTPClient(max_clients=512).fetch(ORIGIN + path)).body


class Fetch(web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(await get("/"))


class FanOut(web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(b"".join(await asyncio.gather(*(get(f"/{i}") for i in range(1, 6)))))


async def main(port):
    logging.getLogger("tornado.access").disabled = True
    app = web.Application(
        [
            (r"/", Hello),
            (r"/json", Json),
            (r"/users/(\d+)/posts/([^/]+)", UserPost),
            (r"/echo", Echo),
            (r"/sleep", Sleep),
            (r"/fetch", Fetch),
            (r"/fanout", FanOut),
        ]
    )
    app.listen(port, address="127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
