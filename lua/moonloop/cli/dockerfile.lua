--- `moonloop dockerfile`: a recipe for a small image with the server and the apps.

local fault = require("moonloop.cli.fault")
local files = require("moonloop.cli.files")
local words = require("moonloop.cli.words")

local M = {}

--- What means nothing in a container, or is said in another way there. Paths are the container's own business.
local LEFT_OUT = { daemon = true, pidfile = true, user = true, group = true, control = true, bind = true }
local DEFAULT_BIND = "0.0.0.0:8080"
local CONTROL = "/tmp/moonloop.sock"
local CONFIG = "/srv/moonloop.conf.lua"

--- What is needed beside the libraries that the binary is linked with: authorities, the list of public suffixes and
--- time zones, which it looks up, and the Lua module that reads the command line.
local RUNTIME = "ca-certificates libpsl5 lua-argparse tzdata"

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
        list[#list + 1] = word == settled.config_file and CONFIG or word
    end
    if settled.daemon then
        list[#list + 1] = "--no-daemon"
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
---@param within fun(path: string): string where a file of this machine is in the context
---@return string
function M.text(settled, given, packages, source, within)
    local exposed = {}
    for _, port in ipairs(words.ports(given.bind and settled.bind or { DEFAULT_BIND })) do
        exposed[#exposed + 1] = "EXPOSE " .. port
    end
    return table.concat({
        "# docker build -t moonloop . && docker run --rm --init -p 8080:8080 moonloop",
        "# It runs with --read-only --tmpfs /tmp --cap-drop ALL too. What the builder does not need (.git, build)",
        "# belongs into .dockerignore.",
        "FROM debian:12-slim AS build",
        "RUN apt-get update && apt-get install -y --no-install-recommends \\",
        "    " .. table.concat(build_packages(packages), " "),
        "COPY " .. source .. " /src",
        "RUN cmake -S /src -B /build && cmake --build /build -j$(nproc) && \\",
        "    cmake --install /build --prefix /usr/local && strip /usr/local/bin/moonloop",
        "# The packages that own the libraries which the binary is linked with: all that the image needs to run it.",
        "RUN ldd /usr/local/bin/moonloop | grep -o '/[^ ]*' | xargs -n1 readlink -f | sed 's,^/usr,,' | \\",
        "    while read -r file; do dpkg-query -S \"*$file\"; done | cut -d: -f1 | sort -u >/packages",
        "",
        "FROM debian:12-slim",
        "COPY --from=build /packages /packages",
        "RUN apt-get update && \\",
        "    xargs apt-get install -y --no-install-recommends " .. RUNTIME .. " </packages && \\",
        "    rm -rf /var/lib/apt/lists/* /packages && \\",
        "    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin moonloop",
        "COPY --from=build /usr/local/bin/moonloop /usr/local/bin/moonloop",
        "COPY --from=build /usr/local/share/moonloop /usr/local/share/moonloop",
        settled.config_file and "COPY " .. within(settled.config_file) .. " " .. CONFIG or "# no configuration file",
        "COPY " .. within(settled.apps_dir) .. " /srv/apps",
        "WORKDIR /srv",
        "USER moonloop",
        table.concat(exposed, "\n"),
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \\",
        "    CMD [\"moonloop\", \"status\", \"--control\", " .. quote(CONTROL) .. "]",
        "CMD [" .. command_line(settled, given) .. "]",
        "",
    }, "\n")
end

---What the image cannot have by itself.
local function note_what_stays_behind(settled)
    local function note(...)
        io.stderr:write("moonloop: ", (...):format(select(2, ...)), "\n")
    end
    for _, name in ipairs({ "certfile", "keyfile", "ca_certs", "shared_path" }) do
        local paths = settled[name]
        for _, path in ipairs(type(paths) == "table" and paths or { paths }) do
            note("%s: %s is no part of the image: mount it there, readable for the image's user", name, path)
        end
    end
    if settled.user or settled.group then
        note("user, group: the image has a user of its own (USER), as whom the server cannot become another")
    end
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
    local here = files.working_directory() .. "/"
    local is_checkout = files.exists(root .. "/CMakeLists.txt") and root .. "/" == here
    if not is_checkout then
        io.stdout:write("# Put a checkout of moonloop into moonloop/ beside this file.\n")
    end
    local function within(path)
        if path:sub(1, #here) == here then
            return path:sub(#here + 1)
        end
        local name = path:match("[^/]+$") or "apps"
        io.stdout:write(("# Put %s into the context as %s: it lies outside of this directory.\n"):format(path, name))
        return name
    end
    note_what_stays_behind(settled)
    io.stdout:write(M.text(settled, parsed.given, packages, is_checkout and "." or "moonloop", within))
    return 0
end

return M
