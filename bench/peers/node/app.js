// The works on plain node:http, one process, no framework.
//
//     node app.js PORT
"use strict";

const http = require("node:http");

// For fetch and fanout: undici, which bench/run installs.
const origin = process.env.BENCH_ORIGIN;
const pool = origin ? new (require("undici").Pool)(origin, { connections: 512 }) : null;

const USER_POST = /^\/users\/(\d+)\/posts\/([^/]+)$/;

function respond(res, body, type) {
  res.writeHead(200, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  res.end(body);
}

function respondJson(res, value) {
  respond(res, JSON.stringify(value), "application/json");
}

function hello(res) {
  respond(res, "Hello, world!\n", "text/plain; charset=utf-8");
}

function echo(req, res) {
  const chunks = [];
  req.on("data", (chunk) => chunks.push(chunk));
  req.on("end", () => respondJson(res, JSON.parse(Buffer.concat(chunks).toString())));
}

function userPost(req, res) {
  const mark = req.url.indexOf("?");
  const match = USER_POST.exec(req.url.slice(0, mark < 0 ? undefined : mark));
  if (match === null) {
    res.writeHead(404).end();
    return;
  }
  respondJson(res, {
    id: Number(match[1]),
    slug: decodeURIComponent(match[2]),
    q: new URLSearchParams(req.url.slice(mark + 1)).get("q"),
    client: req.headers["x-client"],
  });
}

async function get(path) {
  const { statusCode, body } = await pool.request({ path, method: "GET" });
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  return body.text();
}

const PATHS = ["/1", "/2", "/3", "/4", "/5"];

async function fetchOne(res) {
  respond(res, await get("/"), "text/plain; charset=utf-8");
}

async function fanOut(res) {
  const bodies = await Promise.all(PATHS.map(get));
  respond(res, bodies.join(""), "text/plain; charset=utf-8");
}

const server = http.createServer((req, res) => {
  switch (req.url) {
    case "/":
      return hello(res);
    case "/json":
      return respondJson(res, { message: "Hello, World!" });
    case "/echo":
      return echo(req, res);
    case "/sleep":
      return setTimeout(hello, 50, res);
    case "/fetch":
      return fetchOne(res);
    case "/fanout":
      return fanOut(res);
    default:
      return userPost(req, res);
  }
});

server.keepAliveTimeout = 75000;
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 1024 });
