--- The page at /: what moonloop is, every example with a button that asks it, and what to edit to see a reload.
--- What it shows is the list below; how it looks is apps/_lib/page.lua.

local moonloop = require("moonloop")
local page = require("page")
local app = moonloop.app()

--- Browsers open six connections to a server at most, so six at once is what a page can show.
local function six(path)
    local paths = {}
    for i = 1, 6 do
        paths[i] = path .. "?n=" .. i -- a browser asks for equal addresses one after another
    end
    return paths
end

local EXAMPLES = {
    {
        file = "hello.lua", path = "/hello/", title = "A handler returns its answer",
        says = "A string is text, a table is JSON, a path may have typed parameters.",
        tries = { { "text", { "/hello/Ada" } }, { "JSON", { "/hello/add/2/3" } } },
    },
    {
        file = "sleep.lua", path = "/sleep/", title = "Waiting holds nobody up",
        says = "Six requests that each wait a second take one second together, even on one worker.",
        tries = { { "one", { "/sleep/" } }, { "six at once", six("/sleep/") } },
    },
    {
        file = "blocking.lua", path = "/blocking/", title = "Blocking holds everybody up",
        says = "The same with a call that knows nothing of the loop: one after another. The log names the handler.",
        tries = { { "one", { "/blocking/" } }, { "six at once", six("/blocking/0.3") } },
    },
    {
        file = "unblock.lua", path = "/unblock/thread", title = "One word moves it off the loop",
        says = "A blocking handler as it is, with <code>run = \"thread\"</code> on its route: as many at once as"
            .. " there are threads.",
        tries = { { "on the loop", six("/unblock/loop") }, { "on threads", six("/unblock/thread") } },
    },
    {
        file = "synchronous.lua", path = "/synchronous/", title = "A whole app off the loop",
        says = "Code that knows nothing of event loops, unchanged: one option for all its routes.",
        tries = { { "one", { "/synchronous/" } }, { "two at once", { "/synchronous/?n=1", "/synchronous/?n=2" } } },
    },
    {
        file = "cpu.lua", path = "/cpu/parts", title = "Computing beside serving",
        says = "The first lane counts primes in a thread, the others are <code>/hello/</code> meanwhile."
            .. " A handler that never ends is interrupted.",
        tries = {
            { "beside others", { "/cpu/thread", "/hello/", "/hello/Ada", "/hello/Alan", "/hello/Grace" } },
            { "in four parts", { "/cpu/parts" } }, { "without end", { "/cpu/forever" } },
        },
    },
    {
        file = "fanout.lua", path = "/fanout/together", title = "Asking five others",
        says = "One by one is their sum, together as long as the slowest, with a deadline what came in time.",
        tries = {
            { "one by one", { "/fanout/one-by-one" } }, { "together", { "/fanout/together" } },
            { "within 0.25 s", { "/fanout/within/0.25" } },
        },
    },
    {
        file = "gateway.lua", path = "/gateway/status", title = "A proxy before two servers",
        says = "Requests are passed on to two servers in turn; one that fails is left out until it is well again.",
        tries = {
            { "three requests", { "/gateway/pages/1", "/gateway/pages/2", "/gateway/pages/3" } },
            { "how the servers are", { "/gateway/status" } },
        },
    },
    {
        file = "nested.lua", path = "/nested/", title = "Processes times threads",
        says = "Ten requests with seven sub-tasks each, in two processes with a few threads each: seventy bars"
            .. " on one timeline.",
        tries = { { "one request", { "/nested/1" } }, { "ten at once", { "/nested/" } } },
    },
    {
        file = "after.lua", path = "/after/", title = "Answer now, work later",
        says = "The answer leaves first; then two jobs, of ten and of five seconds, run side by side. A stop of the"
            .. " server waits for them.",
        tries = {
            { "answer", { "/after/" } }, { "faster", { "/after/?unit=0.1" } }, { "what they did", { "/after/log" } },
        },
    },
    {
        file = "background.lua", path = "/background/", title = "Work beside the requests",
        says = "A task that is always there, timers with a handle that stops and starts them, one of them in a single"
            .. " worker of all.",
        tries = {
            { "how it stands", { "/background/" } }, { "stop the beat", { "/background/stop" } },
            { "start it", { "/background/start" } }, { "a job", { "/background/export" } },
        },
    },
    {
        file = "chat/init.lua", path = "/chat/", title = "A chat",
        says = "A WebSocket for each window, a topic between all workers. Open it twice; save the file while you talk.",
        tries = { { "say hello to it", { "/chat/say/hello" } } },
    },
    {
        file = "patterns/init.lua", path = "/patterns/", title = "Eighteen patterns",
        says = "Races, pipelines, limits, retries, sagas: each a small file, with a picture of what happens when.",
        tries = { { "a hedged request", { "/patterns/run/hedged_request" } } },
    },
    {
        file = "address.lua", path = "/address/", title = "Which address do I tell my colleagues?",
        says = "The one by which other machines reach this one. Serve with <code>--bind 0.0.0.0:8080</code>.",
        tries = { { "try it", { "/address/" } } },
    },
}

-- "apps/index.lua" -> "apps/": how the reader finds the files.
local FOLDER = debug.getinfo(1, "S").short_src:match("^(.-)[^/]*$")

app:get("/", function(_, res)
    return res:html(page.render(FOLDER, EXAMPLES))
end)

return app
