"""The works on Flask, for gunicorn's gthread and gevent workers alike.

Under gevent `time.sleep` is the cooperative one, because gunicorn's worker patches it.
"""

import time

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.get("/")
def hello():
    return Response("Hello, world!\n", content_type="text/plain; charset=utf-8")


@app.get("/json")
def message():
    return jsonify(message="Hello, World!")


@app.get("/users/<int:user>/posts/<slug>")
def user_post(user, slug):
    return jsonify(id=user, slug=slug, q=request.args["q"], client=request.headers["X-Client"])


@app.post("/echo")
def echo():
    return jsonify(request.get_json())


@app.get("/sleep")
def sleep():
    time.sleep(0.05)
    return hello()
