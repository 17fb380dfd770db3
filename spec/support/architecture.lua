--- The rules of DESIGN.md ("Rooms") as a check over files: each breach is "file:line: what is wrong".
--- Takes { [path] = text }, so that the rules themselves can be tried on files that do not exist.

local M = {}

--- A room includes itself and the rooms listed here, nothing else.
M.ROOMS = {
    base = {},
    loop = { "base" },
    shared = { "base" },
    net = { "base", "loop" },
    http = { "base", "loop", "shared", "net" },
    script = { "base", "loop", "shared", "net", "http" },
    server = { "base", "loop", "shared", "net", "http", "script" },
    fuzz = { "base", "loop", "shared", "net", "http", "script", "server" },
    main = { "base", "loop", "shared", "net", "http", "script", "server" },
}

--- Headers that are no part of the C library, and the files that may include them (Lua patterns).
M.LIBRARIES = {
    ["uv.h"] = { "^loop/", "^net/" },
    ["ares.h"] = { "^net/resolve", "^net/library_memory%.c$" },
    ["openssl/"] = { "^net/tls", "^net/library_memory%.c$" },
    ["llhttp.h"] = { "^http/parser%.c$" },
    ["lua.h"] = { "^script/", "^server/config_load%.c$", "^fuzz/lua/" },
    ["lauxlib.h"] = { "^script/", "^server/config_load%.c$", "^fuzz/lua/" },
    ["lualib.h"] = { "^script/", "^server/config_load%.c$" },
    ["luajit.h"] = { "^script/", "^fuzz/lua/" },
    ["lmdb.h"] = { "^shared/" },
    ["seccomp.h"] = { "^server/sandbox%.c$" },
    ["zlib.h"] = { "^http/decoder_zlib%.c$", "^http/websocket_coder%.c$" },
    ["brotli/"] = { "^http/decoder_brotli%.c$" },
    ["zstd.h"] = { "^http/decoder_zstd%.c$" },
}

--- Calls with one home.
M.CALLS = {
    lua_resume = "script/task.c",
    lua_pcall = "script/vm.c",
    -- Memory that is refused has one answer (base/mem.h), and specs can have any of it refused.
    malloc = "base/mem.c", calloc = "base/mem.c", realloc = "base/mem.c", reallocarray = "base/mem.c",
    strdup = "base/mem.c", strndup = "base/mem.c",
}

--- Calls that no file may make, and what does the same.
M.FORBIDDEN = {
    strcpy = "memcpy or snprintf", strcat = "a buf", sprintf = "snprintf", vsprintf = "vsnprintf",
    strtok = "strtok_r", localtime = "localtime_r", gmtime = "gmtime_r", ctime = "strftime", asctime = "strftime",
    rand = "getrandom", random = "getrandom", tmpnam = "mkstemp", mktemp = "mkstemp",
}

local LIBC = {}
for name in ([[aio alloca assert ctype dirent dlfcn endian errno fcntl fenv float fnmatch getopt glob grp inttypes
    ifaddrs limits locale malloc math netdb poll pthread pwd sched semaphore setjmp signal spawn stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings syslog termios time ucontext unistd
    wchar execinfo]]):gmatch("%S+") do
    LIBC[name .. ".h"] = true
end
local LIBC_DIRECTORIES = { sys = true, netinet = true, arpa = true, net = true, linux = true, asm = true }

M.MAX_LINES = 500

local function contains(list, item)
    for _, each in ipairs(list) do
        if each == item then
            return true
        end
    end
    return false
end

local function lines_of(text)
    local lines = {}
    for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do
        lines[#lines + 1] = line
    end
    return lines
end

--- The text with comments blanked out, lines kept.
local function without_comments(text)
    local function blank(comment)
        return (comment:gsub("[^\n]", " "))
    end
    return (text:gsub("/%*.-%*/", blank):gsub("//[^\n]*", blank))
end

local function room_of(path)
    return path:match("^core/([%w_]+)/") or "main"
end

local function check_library(header, file, report)
    for prefix, homes in pairs(M.LIBRARIES) do
        if header == prefix or (prefix:sub(-1) == "/" and header:sub(1, #prefix) == prefix) then
            for _, home in ipairs(homes) do
                if file:find(home) then
                    return
                end
            end
            return report(("<%s> has its home elsewhere: %s"):format(header, table.concat(homes, ", ")))
        end
    end
    local directory = header:match("^([^/]+)/")
    if not (directory and LIBC_DIRECTORIES[directory]) and not LIBC[header] then
        report(("<%s> is no part of the C library: give it a home in DESIGN.md and here"):format(header))
    end
end

local function check_room(header, path, files, report)
    local room, target = room_of(path), header:match("^([%w_]+)/")
    if not target or not files["core/" .. header] then
        return report(('"%s" is not room/file.h of a file in core/'):format(header))
    end
    if target ~= room and not contains(M.ROOMS[room] or {}, target) then
        report(("%s may not include %s: %s"):format(room, target, header))
    end
end

local function check_c_file(path, text, files, report)
    local file = path:gsub("^core/", "")
    if not M.ROOMS[room_of(path)] then
        report(path, 1, "no such room in DESIGN.md: " .. room_of(path))
    end
    for number, line in ipairs(lines_of(without_comments(text))) do
        local function at(message)
            report(path, number, message)
        end
        local own = line:match('^%s*#%s*include%s*"([^"]+)"')
        local library = line:match("^%s*#%s*include%s*<([^>]+)>")
        if own then
            check_room(own, path, files, at)
        elseif library then
            check_library(library, file, at)
        end
        for call, better in pairs(M.FORBIDDEN) do
            if line:find("%f[%w_]" .. call .. "%s*%(") then
                at(("%s is safe nowhere: use %s"):format(call, better))
            end
        end
        for call, home in pairs(M.CALLS) do
            if file ~= home and not file:find("^fuzz/") and line:find("%f[%w_]" .. call .. "%s*%(") then
                at(("%s belongs into %s alone"):format(call, home))
            end
        end
    end
    local header = files[path:gsub("%.c$", ".h")]
    if not text:find("^%s*/%*") and not (header and header:find("^%s*/%*")) then
        report(path, 1, "neither the file nor its header begins with a comment on what it owns")
    end
end

--- Pure: takes values, gives values. What a file of lua/moonloop/util/ may require:
local PURE = { bit = true, ["string.buffer"] = true, ["table.new"] = true, ["table.clear"] = true }

local function check_util_file(path, text, report)
    for number, line in ipairs(lines_of(text)) do
        local code = line:gsub("%-%-.*$", "")
        local required = code:match("require%s*%(?%s*[\"']([^\"']+)[\"']")
        if required and not PURE[required] and not required:find("^moonloop%.util%.") then
            report(path, number, "util is pure and may not require " .. required)
        end
        local outside = code:match("%f[%w_.](io)%.%a") or code:match("%f[%w_.](os)%.%a")
        if outside then
            report(path, number, "util is pure and may not use " .. outside)
        end
    end
end

--- Headers that include each other in a circle.
local function check_circles(files, report)
    local state = {}
    local function visit(path)
        state[path] = "open"
        for number, line in ipairs(lines_of(without_comments(files[path]))) do
            local included = line:match('^%s*#%s*include%s*"([^"]+)"')
            local target = included and "core/" .. included
            if target and files[target] and state[target] == "open" then
                report(path, number, "includes itself in a circle through " .. included)
            elseif target and files[target] and not state[target] then
                visit(target)
            end
        end
        state[path] = "done"
    end
    for path in pairs(files) do
        if path:find("^core/.*%.h$") and not state[path] then
            visit(path)
        end
    end
end

---@param files table<string, string> path from the root -> text; core/*.[ch] and lua/*.lua count
---@return string[] breaches "file:line: what is wrong", sorted
function M.check(files)
    local breaches = {}
    local function report(path, line, message)
        breaches[#breaches + 1] = ("%s:%d: %s"):format(path, line, message)
    end
    for path, text in pairs(files) do
        local count = #lines_of(text)
        if count > M.MAX_LINES then
            report(path, count, ("%d lines; a file has at most %d"):format(count, M.MAX_LINES))
        end
        if path:find("^core/.*%.[ch]$") then
            check_c_file(path, text, files, report)
        elseif path:find("^lua/moonloop/util/.*%.lua$") then
            check_util_file(path, text, report)
        end
        if path:find("^lua/.*%.lua$") and not text:find("^%-%-") and not text:find("^#!") then
            report(path, 1, "the file does not begin with a comment on what it is")
        end
    end
    check_circles(files, report)
    table.sort(breaches)
    return breaches
end

---Reads core/ and lua/ below `root` ("./").
---@return table<string, string>
function M.read(root)
    local files = {}
    local list = assert(io.popen(("cd '%s' && find core lua -name '*.[ch]' -o -name '*.lua'"):format(root)))
    for path in list:lines() do
        local file = assert(io.open(root .. path, "rb"))
        files[path] = file:read("*a")
        file:close()
    end
    list:close()
    return files
end

return M
