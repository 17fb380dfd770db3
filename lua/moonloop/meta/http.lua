---@meta moonloop.core.http
--- The C half of moonloop.http (core/script/lib_http.c). Functions that wait return `true, ...` or `false, error`
--- and raise `misuse` outside of a task.

local core = {}

---What the field User-Agent says unless a request has its own.
---@return string
function core.user_agent() end

---A pool of connections, kept per origin.
---@param connections integer per origin, from 1
---@param queue integer requests per origin that may wait
---@param idle number seconds that an unused connection is kept
---@param verify boolean of TLS
---@param ca_file? string PEM
---@param queue_timeout? number seconds that one may wait; 0: no limit
---@param cert_file? string PEM, our certificate with its chain
---@param key_file? string PEM; the key, when it is not in cert_file
---@param nameservers? string "ADDRESS[:PORT], ..."; default: the machine's
---@return userdata? pool
---@return string? reason why there is none: a file cannot be used, or "nameservers: ..."
function core.pool(connections, queue, idle, verify, ca_file, queue_timeout, cert_file, key_file, nameservers) end

---@param pool userdata
---@return integer connections
---@return integer idle
---@return integer waiting
---@return integer reused
---@return integer resumed
function core.counts(pool) end

---@param pool userdata
---@return { name: string, connections: integer, idle: integer, waiting: integer }[]
function core.origins(pool) end

---The resolvers of this loop: what they have done so far and know now.
---@return { servers: string, lookups: integer, remembered: integer, known: integer, asking: integer }[]
function core.resolvers() end

---Sends a request and waits for the head of its answer, or for interim answers: status 100, and they in place of the
---body.
---@param pool userdata
---@param method string
---@param url string
---@param fields string[] name, value, name, value, ...; Upgrade among them offers to leave HTTP
---@param body? string
---@param timeout number seconds; 0: none
---@param wants_interim? boolean
---@param proxy? string URL, with user and password
---@return boolean? ok nil: it cannot be sent, and the next is why
---@return userdata|table|string|nil fetch or error or reason; nil: all that there is follows
---@return integer? status
---@return string? body when all of it is here
---@return string? head for core.headers, when there is no fetch
---@return number? first_byte seconds, when there is no fetch
---@return number? total
function core.fetch(pool, method, url, fields, body, timeout, wants_interim, proxy) end

---What can be sent many times, without a body.
---@param method string
---@param url string
---@param fields string[] name, value, name, value, ...
---@param proxy? string URL
---@return userdata? request
---@return string? reason why it cannot be sent
function core.prepare(method, url, fields, proxy) end

---Sends what core.prepare has made, and waits as core.fetch does.
---@param pool userdata
---@param request userdata
---@param timeout number seconds; 0: none
---@return boolean ok
---@return userdata|table|nil fetch or error
---@return integer? status
---@return string? body
---@return string? head
---@return number? first_byte
---@return number? total
function core.fetch_prepared(pool, request, timeout) end

---Begins as core.fetch does, and waits for nothing.
---@param pool userdata
---@param method string
---@param url string
---@param fields string[] name, value, name, value, ...
---@param body string|number|nil a number: so many bytes come in pieces, -1: as many as there are
---@param timeout number seconds; 0: none
---@param wants_interim boolean
---@param expect number seconds that the body waits until the server asks for it; 0: not at all
---@param proxy? string URL, with user and password
---@return userdata? fetch
---@return string? reason why it cannot be sent
function core.open(pool, method, url, fields, body, timeout, wants_interim, expect, proxy) end

---Has that task, which has not begun, give the pieces. It is cancelled when nobody wants the rest.
---@param fetch userdata
---@param task moonloop.Task
function core.feed(fetch, task) end

---Waits until a piece may be given.
---@param fetch userdata
---@return boolean ok
---@return moonloop.Error? err
function core.room(fetch) end

---Gives a piece, after core.room; nil: there are no more. An empty one is nothing.
---@param fetch userdata
---@param piece? string
function core.send(fetch, piece) end

---Fails the fetch: the body cannot be made. Harmless when nobody wants it any more.
---@param fetch userdata
---@param err any what is raised by whoever waits for the answer
function core.break_off(fetch, err) end

---Waits as core.fetch does, after interim answers.
---@param fetch userdata
---@return boolean ok
---@return userdata|table fetch or error
---@return integer? status
---@return string? body
function core.head(fetch) end

---The interim answers that came, without 100: each "103\n", lines "name: value\n", "\n".
---@param fetch userdata
---@return string
function core.interim(fetch) end

---Waits for more of the body.
---@param fetch userdata
---@return boolean ok
---@return string|table|nil chunk nil at the end
function core.chunk(fetch) end

---Waits for the rest of the body, or for progress to be told.
---@param fetch userdata
---@param most number bytes
---@return boolean ok
---@return string|table|nil body
function core.body(fetch, most) end

---Gives it so much time from now on.
---@param fetch userdata
---@param seconds number 0: no limit
function core.limit(fetch, seconds) end

---The connection of a 101, at the first call; else nil.
---@param fetch userdata
---@return userdata? duplex for moonloop.core.duplex
function core.connection(fetch) end
---Writes an answer, or bytes, to a file; waits.
---@param source userdata|string
---@param path string
---@param mode integer permissions, less the umask
---@param is_durable? boolean waits until it is on the disk
---@return boolean ok
---@return number|table|nil bytes or error; nil: progress is to be told, then call it again
function core.save(source, path, mode, is_durable) end

---The Content-Encoding that is undone.
---@param fetch userdata
---@return string?
function core.coding(fetch) end

---The trailers that have come: lines "name: value\n".
---@param fetch userdata
---@return string
function core.trailers(fetch) end

---Before the head of the answer has come.
---@param fetch userdata
---@param is_wanted boolean whether the body is decoded
---@param max_ratio number decoded bytes from each that came
function core.decoding(fetch, is_wanted, max_ratio) end

---How far the body has come. From then on body and save come back, with true alone, when that has to be told.
---@param fetch userdata
---@return number came bytes, before they were decoded
---@return number? total bytes
function core.progress(fetch) end

---Gives an answer up; its connection is closed unless the answer was whole.
---@param fetch userdata
function core.close(fetch) end

---@param fetch userdata|string or the head
---@param is_raw? boolean names stay as they came
---@return string[] fields name, value, ...; names in lower case
function core.headers(fetch, is_raw) end

---What goes on to a client of ours: without the fields for one hop and what a server says itself.
---@param fetch userdata|string or the head
---@return table<string, string|string[]> headers names as they came
---@return integer? length Content-Length
---@return string? via
function core.forward(fetch) end

---The head as it came: status line and fields, in the server's spelling.
---@param fetch userdata
---@return string
function core.raw(fetch) end

---Has the TLS session of a connection that is made for this fetch described; to be called before its head has come.
---@param fetch userdata
function core.want_tls(fetch) end

---Lines "version: TLSv1.3\n", with cipher, subject, issuer, not_after …; "" for none, or a connection that was there.
---@param fetch userdata
---@return string
function core.tls(fetch) end

---Seconds; nil for what did not happen.
---@param fetch userdata
---@return { dns?: number, connect?: number, tls?: number, first_byte?: number, total?: number }
function core.timing(fetch) end

---@param url string
---@return { scheme: string, host: string, port: integer, userinfo?: string }?
---@return string? reason what is wrong with it
function core.parse(url) end

---@param base string
---@param reference string
---@return string? url not checked; nil when base is none
function core.resolve(base, reference) end

---@param a string
---@param b string
---@return boolean
function core.same_origin(a, b) end

---For a query string or a form: a space becomes a plus.
---@param text string
---@return string
function core.encode(text) end

---@param url string of a proxy
---@return string? name without user and password
---@return string? reason what is wrong with it
function core.proxy(url) end

---Percent-encoding undone; a plus stays one.
---@param text string
---@return string
function core.decode(text) end

return core
