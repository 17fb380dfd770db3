--- `moonloop fetch URL`: one request, shown. In a task of the runtime.

local errors = require("moonloop.util.errors")
local fault = require("moonloop.cli.fault")
local fetch_request = require("moonloop.cli.fetch_request")
local http = require("moonloop.http")
local json_text = require("moonloop.cli.json_text")
local output = require("moonloop.cli.fetch_output")
local response = require("moonloop.http.response")
local show = require("moonloop.cli.fetch_show")

local M = {}

--- Exit codes, curl's where it has one.
M.EXIT_CODES = {
    usage = 2, url = 3, dns = 6, refused = 7, protocol = 8, status = 22, write = 23, read = 26, timeout = 28, tls = 35,
    redirects = 47, closed = 56, too_large = 63, pipe = 141,
}

-- What is laid out at the end cannot be shown as it comes.
local LAYOUT_BYTES_MAX = 16 * 1024 * 1024

---@param res moonloop.http.Response
local function is_json(res)
    local kind = (res.headers["content-type"] or ""):lower():match("^%s*([^;%s]*)")
    return kind == "application/json" or kind == "text/json" or kind:match("%+json$") ~= nil
end

---@param path string a name made of a URL's path
local function remote_name(url)
    local name = url:gsub("[?#].*", ""):match("^%a[%w+.-]*://[^/]*/.-([^/]*)$")
    if not name or name == "" or name == "." or name == ".." then
        fault.raise(2, "fetch: -O: %s names no file; use -o FILE", url)
    end
    return name
end

local function write_error(...)
    io.stderr:write(...)
end

local function note(text)
    write_error("* ", text, "\n")
end

---What -v says of each exchange, a redirect's too.
---@param request_head fun(wanted: moonloop.http.Wanted, proxy?: string): string
local function make_observer(is_verbose, has_timing, is_coloured, request_head)
    local count, last_url = 0, nil
    local observer = {}

    function observer.sending(wanted, proxy)
        count = count + 1
        if is_verbose then
            if count > 1 then
                note((wanted.url == last_url and "Again: " or "Redirected to ") .. wanted.url)
            end
            last_url = wanted.url
            if proxy then
                note("Through the proxy " .. require("moonloop.core.http").proxy(proxy))
            end
            for _, line in ipairs(show.lines(request_head(wanted, proxy))) do
                write_error("> ", line, "\n")
            end
            write_error(">\n")
        end
    end

    function observer.answered(res)
        if is_verbose then
            for _, stage in ipairs(show.stages(res.timing)) do
                if stage[1] ~= "body" then
                    note(("%s %s"):format(stage[1], show.duration(stage[3])))
                end
            end
            for _, line in ipairs(show.tls(response.tls(res))) do
                note(line)
            end
            for line in show.head(show.lines(response.head(res)), res.status, is_coloured):gmatch("([^\n]*)\n") do
                write_error(line == "" and "<" or "< ", line, "\n")
            end
        elseif has_timing and count > 1 then
            write_error("redirected to ", res.url, "\n")
        end
    end

    return observer
end

local function refuse_binary(out, chunk)
    if out.is_terminal and chunk:find("\0", 1, true) then
        fault.raise(output.EXIT_WRITE, "fetch: the answer is binary and would spoil the terminal; -o FILE writes it"
            .. " to a file, -o - shows it all the same")
    end
end

---Copies the body as it comes, up to the piece that is binary.
local function copy(chunks, out)
    for chunk in chunks do
        refuse_binary(out, chunk)
        out:write(chunk)
    end
end

---Lays JSON out for a terminal; what is too long or is none is shown as it is.
local function copy_json(res, out, is_coloured)
    local parts, bytes, next_chunk = {}, 0, res:chunks()
    for chunk in next_chunk do
        parts[#parts + 1], bytes = chunk, bytes + #chunk
        if bytes > LAYOUT_BYTES_MAX then
            break
        end
    end
    local text = table.concat(parts)
    refuse_binary(out, text)
    out:write(bytes <= LAYOUT_BYTES_MAX and json_text.lay_out(text, is_coloured) or text)
    if bytes > LAYOUT_BYTES_MAX then
        copy(next_chunk, out)
    end
end

local function show_answer(res, out, flags, is_coloured)
    if flags.include or flags.head then
        out:write(show.head(show.lines(response.head(res)), res.status, is_coloured))
    end
    local is_pretty = out.is_terminal and not flags.no_pretty
    if flags.head then
        res:body()
    elseif is_pretty and is_json(res) then
        copy_json(res, out, is_coloured)
    else
        copy(res:chunks(), out)
    end
end

---@param res moonloop.http.Response
local function check_status(res, flags)
    if res.status >= 400 and (flags.fail or flags.fail_with_body) then
        local line = show.lines(response.head(res))[1]:gsub("^HTTP/%S+%s+", "")
        fault.raise(M.EXIT_CODES.status, "fetch: %s: the server answers %s", res.url, line)
    end
end

local function fetch(flags)
    local request = fetch_request.request(flags)
    local client = http.client(fetch_request.client(flags))
    local path = flags.remote_name and remote_name(request.url) or flags.output ~= "-" and flags.output or nil
    local out = output.open(path, flags.output == "-")
    local is_coloured = out.is_terminal and not flags.no_pretty and output.wants_colours()
    local colours_notes = output.is_terminal(2) and not flags.no_pretty and output.wants_colours()
    if flags.verbose or flags.timing then
        client:observe(make_observer(flags.verbose, flags.timing, colours_notes, show.request_head))
    end
    local is_to_file = flags.output and flags.output ~= "-" or flags.remote_name
    local progress = is_to_file and not flags.silent and output.is_terminal(2) and output.progress()
    if progress then
        request.on_progress = function(done, total)
            progress:tell(done, total)
        end
    end
    local is_done, res = false, nil
    local ok, err = xpcall(function()
        res = client:request(request)
        if not flags.fail or res.status < 400 then
            show_answer(res, out, flags, is_coloured)
        end
        is_done = not flags.fail or res.status < 400
    end, function(err)
        return (errors.is(err) or fault.is(err)) and err or type(err) == "string" and err or debug.traceback(err)
    end)
    if progress then
        progress:finish()
    end
    out:close(is_done)
    if res and flags.timing and res.timing.first_byte then
        write_error(show.timing(res.timing))
    elseif res and flags.verbose and res.timing.total then
        note("total " .. show.duration(res.timing.total))
    end
    if not ok then
        error(err, 0)
    end
    check_status(res, flags)
end

---What to do about a failure, where that is not plain.
local function advice(err)
    local is_handshake = err.code == "tls" and err.stage == "in the TLS handshake"
    if is_handshake and err.message:find("certificate", 1, true) then
        return "; -k does not look, --cacert FILE trusts another authority"
    end
    return ""
end

---@param err any
---@return integer exit_code
---@return string message
local function explain(err, flags)
    if fault.is(err) then
        return err.exit_code, err.message
    elseif errors.is(err) then
        local is_loop = err.stage == "while following redirects"
        local hint = is_loop and "; --redirects N follows more" or advice(err)
        return is_loop and M.EXIT_CODES.redirects or M.EXIT_CODES[err.code] or 1, "fetch: " .. err.message .. hint
    end
    local mistake = tostring(err):match("^%S-:%d+: http: (.*)$") or tostring(err):match("^http: (.*)$")
    return mistake and 2 or 1, mistake and "fetch: " .. mistake or tostring(err)
end

---@param flags table as the parser gives them
---@return integer exit_code
function M.run(flags)
    local ok, err = pcall(fetch, flags)
    if ok then
        return 0
    end
    local exit_code, message = explain(err, flags)
    if message ~= "" and (not flags.silent or flags.show_error) then
        write_error("moonloop: ", message, "\n")
    end
    return exit_code
end

return M
