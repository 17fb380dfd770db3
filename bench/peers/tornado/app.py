"""The works on Tornado, one process, access log off.

    app.py PORT
"""

import asyncio
import json
import logging
import sys

from tornado import web


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


async def main(port):
    logging.getLogger("tornado.access").disabled = True
    app = web.Application(
        [
            (r"/", Hello),
            (r"/json", Json),
            (r"/users/(\d+)/posts/([^/]+)", UserPost),
            (r"/echo", Echo),
            (r"/sleep", Sleep),
        ]
    )
    app.listen(port, address="127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
