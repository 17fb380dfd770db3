--- `moonloop dockerfile`: a recipe for a small image with the server and the apps.

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")
local words = require("moonloop.cli.words")

local M = {}

--- What means nothing in a container, or is said in another way there. Paths are the container's own business.
local LEFT_OUT = { daemon = true, pidfile = true, user = true, group = true, control = true, bind = true }
local DEFAULT_BIND = "0.0.0.0:8080"
local CONTROL = "/tmp/moonloop.sock"

---@param text string of packages.txt
---@return string[] the first of each line's alternatives
local function build_packages(text)
    local list = {}
    for line in text:gmatch("[^\n]+") do
        list[#list + 1] = line:match("^build%s+(%S+)")
    end
    return list
end

---A word in JSON, which the exec form of CMD is.
local function quote(word)
    return '"' .. word:gsub('[%c\\"]', function(c)
        return ("\\u%04x"):format(c:byte())
    end) .. '"'
end

local function command_line(settled, given)
    local list = { "moonloop", "serve", "--control", CONTROL }
    for _, address in ipairs(given.bind and settled.bind or { DEFAULT_BIND }) do
        list[#list + 1] = "--bind"
        list[#list + 1] = address
    end
    for _, word in ipairs(words.of(given, settled, LEFT_OUT)) do
        list[#list + 1] = word
    end
    list[#list + 1] = "/srv/apps"
    for i, word in ipairs(list) do
        list[i] = quote(word)
    end
    return table.concat(list, ", ")
end

---@param settled table<string, any>
---@param given table<string, any>
---@param packages string text of packages.txt
---@param source string what is copied as moonloop's source: "." or a directory of the context
---@param apps string the apps, within the context
---@return string
function M.text(settled, given, packages, source, apps)
    local exposed = {}
    for _, port in ipairs(words.ports(given.bind and settled.bind or { DEFAULT_BIND })) do
        exposed[#exposed + 1] = "EXPOSE " .. port
    end
    return table.concat({
        "# docker build -t moonloop . && docker run --rm --init -p 8080:8080 moonloop",
        "FROM debian:12-slim AS build",
        "RUN apt-get update && apt-get install -y --no-install-recommends \\",
        "    " .. table.concat(build_packages(packages), " "),
        "COPY " .. source .. " /src",
        "RUN cmake -S /src -B /build && cmake --build /build -j && \\",
        "    cmake --install /build --prefix /usr/local && strip /usr/local/bin/moonloop",
        "# The packages that own the libraries which the binary is linked with: all that the image needs to run it.",
        "RUN ldd /usr/local/bin/moonloop | grep -o '/[^ ]*' | xargs -n1 readlink -f | sed 's,^/usr,,' | \\",
        "    while read -r file; do dpkg-query -S \"*$file\"; done | cut -d: -f1 | sort -u >/packages",
        "",
        "FROM debian:12-slim",
        "COPY --from=build /packages /packages",
        "RUN apt-get update && \\",
        "    xargs apt-get install -y --no-install-recommends ca-certificates tzdata lua-argparse </packages && \\",
        "    rm -rf /var/lib/apt/lists/* /packages && \\",
        "    useradd --system --no-create-home moonloop",
        "COPY --from=build /usr/local/bin/moonloop /usr/local/bin/moonloop",
        "COPY --from=build /usr/local/share/moonloop /usr/local/share/moonloop",
        "COPY " .. apps .. " /srv/apps",
        "WORKDIR /srv",
        "USER moonloop",
        table.concat(exposed, "\n"),
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK --interval=10s CMD [\"moonloop\", \"status\", \"--control\", " .. quote(CONTROL) .. "]",
        "CMD [" .. command_line(settled, given) .. "]",
        "",
    }, "\n")
end

---@param parsed table
---@param settled table<string, any>
---@param lua_dir string
---@return integer exit code
function M.run(parsed, settled, lua_dir)
    local root = lua_dir:match("^(.*)/[^/]+/*$") or "."
    local packages = files.read(root .. "/packages.txt")
    if not packages then
        fault.raise(1, "dockerfile: %s/packages.txt is missing; is this a complete install?", root)
    end
    local is_checkout = files.exists(root .. "/CMakeLists.txt")
    if not is_checkout then
        io.stdout:write("# Put a checkout of moonloop into moonloop/ beside this file.\n")
    end
    local here = files.working_directory() .. "/"
    local apps = settled.apps_dir
    apps = apps:sub(1, #here) == here and apps:sub(#here + 1) or apps:match("[^/]+$") or "apps"
    io.stdout:write(M.text(settled, parsed.given, packages, is_checkout and "." or "moonloop", apps))
    return 0
end

return M
