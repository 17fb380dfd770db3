---@meta moonloop.core.request
--- The parts of a request and the ways to stream its answer, in C, for lua/moonloop/request.lua, response.lua and
--- proxy.lua. All but `pairs` take the token of a req or res, and raise `finished` once the request is. Functions that
--- wait return `true, ...` or `false, error`, and raise `misuse` while another task waits for the same.

local core = {}

---@alias moonloop.core.RequestToken userdata

-- ---- the head ----

---@param token moonloop.core.RequestToken
---@return string "GET"
function core.method(token) end

---@param token moonloop.core.RequestToken
---@return string path percent-decoded, without the query
function core.path(token) end

---@param token moonloop.core.RequestToken
---@return string target as it came: path and query
function core.target(token) end

---@param token moonloop.core.RequestToken
---@return table<string, string|number>
function core.params(token) end

---@param token moonloop.core.RequestToken
---@return table<string, string> the first value of each name
function core.query(token) end

---@param token moonloop.core.RequestToken
---@return string as it came, without the question mark
function core.raw_query(token) end

---What an urlencoded text holds, in order.
---@param text string
---@return string[] name, value, name, value, …
function core.pairs(text) end

---@param token moonloop.core.RequestToken
---@param name string in any case
---@return string? value several are joined by ", "
function core.header(token, name) end

---@param token moonloop.core.RequestToken
---@return table<string, string> by lower-case name, found in any case
function core.headers(token) end

---@param token moonloop.core.RequestToken
---@return table<string, string> by name, percent-decoded; the last one where there are several
function core.cookies(token) end

---What the client asked for, with its port; a believed proxy's word for it first.
---@param token moonloop.core.RequestToken
---@return string? host nil under HTTP/1.0 without a Host
function core.host(token) end

---@param token moonloop.core.RequestToken
---@return "http"|"https"
function core.scheme(token) end

---@param token moonloop.core.RequestToken
---@return string address the client's, behind proxies that are believed; "unix" for a Unix socket
function core.peer(token) end

---@param token moonloop.core.RequestToken
---@return string
function core.id(token) end

---@param token moonloop.core.RequestToken
---@return string
function core.app(token) end

---@param token moonloop.core.RequestToken
---@return string pattern with the mount
function core.route(token) end

---@param token moonloop.core.RequestToken
---@return number? seconds on the clock of moonloop.now
function core.deadline(token) end

---@param token moonloop.core.RequestToken
---@return table<string, string>? session nil without TLS
function core.tls(token) end

---@param token moonloop.core.RequestToken
---@return table<string, string|string[]>? certificate `names` is a list; nil when the client has shown none
function core.client_certificate(token) end

-- ---- the body ----

---@param token moonloop.core.RequestToken
---@return "coming"|"done"|"too_large"|"malformed"|"timed_out"|"no_memory"
function core.body_state(token) end

---What has come so far; the next call gives what came after it.
---@param token moonloop.core.RequestToken
---@return string
function core.take_body(token) end

---@param token moonloop.core.RequestToken
---@return integer bytes that have come and were not taken
function core.body_length(token) end

---@param token moonloop.core.RequestToken
---@return integer? bytes that the head promises; nil: it does not say
function core.promised_length(token) end

---Waits until there is more of it, or its end, or its failure.
---@param token moonloop.core.RequestToken
---@return boolean ok
---@return table? error
function core.wait_body(token) end

-- ---- the answer ----

---Sends a part of the body, after the head that `res` holds; waits while the client is slow. Raises `closed`.
---@param token moonloop.core.RequestToken
---@param res moonloop.Response
---@param chunk string
---@return boolean ok
---@return table? error
function core.write(token, res, chunk) end

---Sends the head that `res` holds, and a first part of the body. Waits as `write` does; raises `misuse` once it has.
---@param token moonloop.core.RequestToken
---@param res moonloop.Response
---@param length? integer bytes; nil: in chunks
---@param chunk? string
---@return boolean ok
---@return table? error
function core.begin(token, res, length, chunk) end

---@param token moonloop.core.RequestToken
---@return boolean
function core.is_begun(token) end

---An answer before the answer, to clients that understand it.
---@param token moonloop.core.RequestToken
---@param status integer 102 to 199
---@param headers? table<string, string|string[]>
function core.interim(token, status, headers) end

---The answer may take as long as it likes.
---@param token moonloop.core.RequestToken
function core.unbounded(token) end

---Answers 101 and takes the connection over.
---@param token moonloop.core.RequestToken
---@param protocol string "websocket"
---@param headers? table<string, string|string[]>
---@return userdata? duplex see moonloop.core.duplex
---@return string? why not
function core.upgrade(token, protocol, headers) end

-- ---- passing it on ----

---@param token moonloop.core.RequestToken
---@return table fields name, value, … as they came; by lower-case name what is made anew: `via`, `forwarded`, …
function core.forward_fields(token) end

---@param token moonloop.core.RequestToken
---@return string? target path as it came, and query; nil: a segment of it, decoded, is . or ..
function core.forward_path(token) end

---@param token moonloop.core.RequestToken
---@return string address of who is connected, a proxy perhaps
---@return boolean is_believed
---@return string? host
---@return "http"|"https" scheme
---@return boolean uses_forwarded whether Forwarded is the field that proxies write
function core.asker(token) end

---Whom the requests that led to this one came from, the first first, as far as they are well-formed.
---@param token moonloop.core.RequestToken
---@return { [1]: string, proto?: string, host?: string }[]
---@return integer believed how many of them, from the end
function core.hops(token) end

return core
