--- The flags of `moonloop fetch`, once: curl's names, as far as they mean something here, and what to do instead
--- where they do not.

local fault = require("moonloop.cli.fault")

local M = {}

---@class moonloop.cli.FetchFlag
---@field [1] string spellings
---@field [2]? string what it takes; nil: nothing
---@field [3] string
---@field is_list? boolean it may be given several times
---@field hidden? string a further spelling

---@type moonloop.cli.FetchFlag[]
M.list = {
    { "-i --include", nil, "Show the head of the answer before its body." },
    { "-I --head", nil, "Ask for the head alone (HEAD)." },
    { "-X --request", "METHOD", "The method, when it does not follow from the other options.",
        hidden = "--method" },
    { "-H --header", "'NAME: VALUE'", "A header field; 'NAME;' for an empty one.", is_list = true },
    { "-d --data", "DATA", "A body, sent with POST as a form: text, @FILE without its line ends, or @- for standard"
        .. " input. Several are joined with &.", is_list = true },
    { "--data-binary", "DATA", "As -d, with the line ends.", is_list = true },
    { "--data-raw", "TEXT", "As -d, and @ means nothing.", is_list = true },
    { "--data-urlencode", "NAME=VALUE", "As -d, with what follows the = encoded; NAME@FILE takes it from a file.",
        is_list = true },
    { "-G --get", nil, "Put what -d gives into the query of the URL." },
    { "--json", "JSON", "As --data-binary, with the types of JSON." },
    { "-F --form", "NAME=VALUE", "A field of a multipart form; NAME=@FILE sends a file, NAME=<FILE its content.",
        is_list = true },
    { "-T --upload-file", "FILE", "Send a file, with PUT; - is standard input." },
    { "-o --output", "FILE", "Write the answer to this file; - writes it out, whatever it is." },
    { "-O --remote-name", nil, "Write the answer to a file with the last name in the URL's path." },
    { "-f --fail", nil, "A status from 400 is a failure: nothing is shown, and the exit code is 22." },
    { "--fail-with-body", nil, "As -f, and what the server says is shown." },
    { "--no-redirect", nil, "Show a redirect instead of following it.", hidden = "--no-location" },
    { "--redirects", "N", "Follow at most N redirects. (default: 5)", hidden = "--max-redirs" },
    { "--retry", "N", "Ask again, at most N times, when that may help: 429, 502, 503, 504, nobody there." },
    { "-u --user", "USER:PASSWORD", "Basic authentication." },
    { "-A --user-agent", "NAME", "The User-Agent field." },
    { "-e --referer", "URL", "The Referer field." },
    { "-b --cookie", "'NAME=VALUE'", "The Cookie field.", is_list = true },
    { "-m --max-time", "SECONDS", "Give up after so long. (default: never)", hidden = "--timeout" },
    { "-k --insecure", nil, "Do not verify the server's certificate." },
    { "--cacert", "FILE", "Trust the authorities in this PEM file instead of the system's." },
    { "-E --cert", "FILE", "A certificate of your own, PEM." },
    { "--key", "FILE", "Its key, when that is in another file." },
    { "-x --proxy", "URL", "Go through this proxy; '' for none. (default: what HTTP_PROXY and its sisters say)" },
    { "--unix-socket", "PATH", "Connect to this Unix socket, whatever the host." },
    { "-v --verbose", nil, "Show on standard error what is sent and what comes, and how long it takes." },
    { "--timing", nil, "Show on standard error how long each stage took." },
    { "-s --silent", nil, "Neither progress nor messages." },
    { "-S --show-error", nil, "Messages all the same, after -s." },
    { "--no-pretty", nil, "On a terminal: do not lay JSON out, nor colour anything." },
}

-- What curl has and what needs nothing here.
local GRANTED = {
    ["-L --location"] = false, ["--compressed"] = false, ["-N --no-buffer"] = false, ["-g --globoff"] = false,
    ["--http1.1"] = false, ["-# --progress-bar"] = false, ["--no-progress-meter"] = false,
}

local INSTEAD = {
    ["-w --write-out"] = "--timing shows how long it took, and -i the head",
    ["--connect-timeout"] = "-m SECONDS limits all of it",
    ["--resolve"] = "fetch the address, with -H 'Host: NAME'",
    ["--connect-to"] = "fetch the address, with -H 'Host: NAME'",
    ["--http2"] = "this client speaks HTTP/1.1",
    ["--http3"] = "this client speaks HTTP/1.1",
    ["-0 --http1.0"] = "this client speaks HTTP/1.1",
    ["-c --cookie-jar"] = "-b 'NAME=VALUE' sends a cookie",
    ["-C --continue-at"] = "-H 'Range: bytes=N-' asks for the rest",
    ["-r --range"] = "-H 'Range: bytes=0-99' asks for a part",
    ["-4 --ipv4"] = "the first address that answers is taken; fetch an address, with -H 'Host: NAME'",
    ["-6 --ipv6"] = "the first address that answers is taken; fetch an address, with -H 'Host: NAME'",
    ["--proto"] = "http and https are all there is",
    ["-D --dump-header"] = "-i shows the head before the body, -v on standard error",
    ["-K --config"] = "a script for `moonloop run` can do that",
    ["-Z --parallel"] = "a script for `moonloop run` can do that, with moonloop.map",
    ["-n --netrc"] = "-u USER:PASSWORD says who you are",
    ["--digest"] = "-u sends basic authentication",
    ["-J --remote-header-name"] = "-o FILE names the file",
}

-- Those of them that no word belongs to: the URL may follow.
local ALONE = {}
for _, spellings in ipairs({ "--http2", "--http3", "-0 --http1.0", "-n --netrc", "--digest", "-J --remote-header-name",
    "-4 --ipv4", "-6 --ipv6", "-Z --parallel" }) do
    ALONE[spellings] = true
end

---@param command table of argparse
function M.add(command)
    command:argument("URL"):target("url")
        :description("What to ask for. Without a scheme it is http; :8080/path is this machine.")
    for _, flag in ipairs(M.list) do
        local target = flag[1]:match("%-%-([%w-]+)"):gsub("-", "_")
        local made = flag[2] and command:option(flag[1]):argname(flag[2]) or command:flag(flag[1])
        made:description(flag[3]):target(target)
        if flag.is_list then
            made:count("*")
        end
        if flag.hidden then
            made:hidden_name(flag.hidden)
        end
    end
    for spellings in pairs(GRANTED) do
        command:flag(spellings):hidden(true):target("granted")
    end
    for spellings, advice in pairs(INSTEAD) do
        local name = spellings:match("%S+$")
        local made = ALONE[spellings] and command:flag(spellings) or command:option(spellings):args("?")
        made:hidden(true):target("instead"):action(function(result)
            result.instead = result.instead or { name, advice }
        end)
    end
end

---Raises a fault for a flag of curl's that is not here.
---@param flags table as the parser gives them
function M.check(flags)
    if flags.instead then
        fault.raise(2, "fetch: there is no %s: %s", flags.instead[1], flags.instead[2])
    end
end

return M
