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
