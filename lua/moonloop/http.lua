--- The HTTP client: straight-line requests on pooled connections, TLS verified, one deadline for all of it.
---
--- An answer of any status is an answer. Failing to get one raises an error object: `refused`, `timeout`, `dns`,
--- `tls`, `protocol`, `closed`, `too_large`, `full`; its `method`, `url` and `stage` say what failed where.

local auth = require("moonloop.http.auth")
local client_options = require("moonloop.http.client_options")
local cookies = require("moonloop.http.cookies")
local core = require("moonloop.core.http")
local now = require("moonloop.clock").now
local options_of = require("moonloop.http.options")
local proxies = require("moonloop.http.proxies")
local redirect = require("moonloop.http.redirect")
local request = require("moonloop.http.request")
local response = require("moonloop.http.response")
local retry = require("moonloop.http.retry")
local errors = require("moonloop.util.errors")
local file = require("moonloop.http.file")
local handles = require("moonloop.util.handle")
local listing = require("moonloop.http.listing")
local multipart = require("moonloop.http.multipart")
local sources = require("moonloop.http.source")
local upload = require("moonloop.http.upload")

local misuse = options_of.misuse
local fetch_prepared, new_whole = core.fetch_prepared, response.new_whole

---@class moonloop.http.Options
---@field headers? table<string, string|number|(string|number)[]> a list sends several fields
---@field query? table<string, string|number|boolean|(string|number|boolean)[]> added to the URL's own
---@field timeout? number|false seconds for everything from the name to the last byte; 30; false: none
---@field json? any encoded as the body
---@field form? table<string, string|number|boolean|(string|number|boolean)[]> urlencoded as the body
---@field multipart? table<string, any>|{ [1]: string, [2]: any }[] texts, http.file(...) and http.part(...) by name
---@field body? string|(fun(): string?)|moonloop.http.Source bytes; an iterator, whose pieces are sent as the server
---  takes them; or a source that can be sent again
---@field length? integer bytes of an iterator's body; without it the body is sent in chunks
---@field expect? boolean|number seconds that the body waits for the server's 100 Continue; true: 1
---@field redirects? integer|false how many are followed; 5
---@field auth? string[] { user, password }
---@field bearer? string a token
---@field cookies? moonloop.http.Jar|false false: not the client's
---@field retries? integer|false|moonloop.http.RetryOptions how often it is sent again after a failure; 0
---@field max_body? integer bytes that body() and json() take at most, decoded; 64 MiB
---@field upgrade? string a protocol, such as "websocket": when the server switches to it (101), the answer has a
---  `connection`
---@field decode? boolean whether gzip, deflate, br and zstd are asked for and undone; true
---@field max_ratio? number|false decoded bytes from each that came, beyond the first 64 MiB; 1000; false: no limit
---@field on_progress? fun(done: integer, total?: integer) how many bytes of the answer's body have come, of how many
---  if that is known: every 0.1 s or 1 MiB while body(), save() or chunks() read it, and at the end
---@field on_upload? fun(done: integer, total?: integer) how many bytes of the body went out, of how many: about each
---  MiB or 0.1 s, and at its end
---@field proxy? string|false as of a client
---@field on_informational? fun(status: integer, headers: moonloop.http.Headers) for each interim answer but 100, when
---  it comes

---@class moonloop.http.Request: moonloop.http.Options
---@field method? string "GET"
---@field url string

local M = {}

local PREPARED_MAX, PREPARED_BYTES_MAX = 512, 2048 -- URLs of a client whose plain GET is kept ready

local clients = setmetatable({}, { __mode = "k" })

---@class moonloop.http.Client
---@field private pool userdata
---@field private options moonloop.http.ClientOptions
---@field private prepared? table requests by URL, false for one seen once; nil: not all are alike
---@field private nprepared? integer their number
---@field private given? moonloop.http.ClientOptions
local Client = { __name = "moonloop.http.Client" }
Client.__index = Client

---For transfer.lua: the other side gets a client like it, with connections of its own.
function Client:__transfer()
    return "moonloop.http", "client", self.given
end

---Sends a request and waits for the head of its answer.
local function exchange(client, wanted, deadline)
    local left = 0
    if deadline then
        left = deadline - now()
        if left <= 0 then
            response.fail("timeout", wanted, "the time is up", "after a redirect")
        end
    end
    local tell = wanted.on_informational
    local ok, handle, status, body, head, first_byte, total
    local proxy = wanted.proxies and proxies.choose(wanted.proxies, wanted)
    local observer = client.options.observer
    if observer then
        observer.sending(wanted, proxy)
    end
    if wanted.source or wanted.expect or wanted.decoding or observer then
        ok, handle, status, body = upload.fetch(client.pool, wanted, left, tell ~= nil, proxy, observer ~= nil)
    else
        ok, handle, status, body, head, first_byte, total = core.fetch(client.pool, wanted.method, wanted.url,
            wanted.fields, wanted.body, left, tell ~= nil, proxy)
    end
    while ok and status == 100 do
        for _, interim in ipairs(response.parse_interim(body)) do
            tell(interim.status, interim.headers, wanted)
        end
        ok, handle, status, body = core.head(handle)
    end
    if ok == nil then
        misuse("http: %s %s: %s", wanted.method, wanted.url, handle)
    elseif not ok then
        error(handle, 0)
    end
    local res = head and response.new_whole(wanted, status, body, head, first_byte, total)
        or response.new(handle, wanted, status, body)
    if observer then
        observer.answered(res)
    end
    return res
end

---The same with what goes around an exchange: cookies, and further attempts.
local function send(client, wanted, deadline)
    local jar, policy = wanted.jar, wanted.retries
    if not jar and not policy then
        return exchange(client, wanted, deadline)
    end
    local fields = wanted.fields
    local function once()
        if not jar then
            return exchange(client, wanted, deadline)
        end
        wanted.fields = cookies.add(jar, wanted.url, fields)
        local res = exchange(client, wanted, deadline)
        wanted.fields = fields
        cookies.take(jar, res)
        return res
    end
    return policy and retry.run(policy, wanted, deadline, once) or once()
end

---Follows the redirects of an answer that may be one.
local function follow(client, wanted, deadline, res)
    local most, history = wanted.redirects, {}
    local begun, before = now() - res.timing.first_byte, 0
    while true do
        local following = redirect.follow(wanted, res)
        if not following then
            break
        end
        res:close()
        if #history == most then
            response.fail("protocol", wanted, ("more than %d redirects"):format(most), "while following redirects")
        end
        history[#history + 1] = { status = res.status, url = res.url }
        wanted, before = following, now() - begun
        res = send(client, wanted, deadline)
    end
    res.history, res.before = history, before
    return res
end

---For moonloop.proxy: one exchange as it is given, nothing added, nothing followed.
---@param wanted moonloop.http.Wanted
---@param deadline? number on the clock of moonloop.now
---@return moonloop.http.Response
function Client:exchange(wanted, deadline)
    wanted.proxies = self.options.proxies
    return exchange(self, wanted, deadline)
end

---Sends a request and waits for the head of its answer.
---@param options moonloop.http.Request
---@return moonloop.http.Response
function Client:request(options)
    local wanted = request.new(options, self.options)
    local timeout = options.timeout
    if timeout == nil then
        timeout = self.options.timeout
    end
    local deadline = timeout and now() + timeout
    local res = send(self, wanted, deadline)
    local status = res.status
    if status < 301 or status > 308 or wanted.redirects == 0 then
        return res
    end
    return follow(self, wanted, deadline, res)
end

---Counts a plain GET of this URL. What the second and every further one sends is prepared in C.
local function prepare_get(client, url)
    local prepared = client.prepared
    if type(url) ~= "string" or #url > PREPARED_BYTES_MAX then
        return nil
    elseif client.nprepared >= PREPARED_MAX then
        prepared = {}
        client.prepared, client.nprepared = prepared, 0
    end
    if prepared[url] == nil then
        prepared[url], client.nprepared = false, client.nprepared + 1
        return nil
    end
    local wanted = request.new({ url = url }, client.options)
    local proxy = wanted.proxies and proxies.choose(wanted.proxies, wanted)
    wanted.prepared = core.prepare(wanted.method, wanted.url, wanted.fields, proxy)
    if wanted.prepared then
        prepared[url] = wanted
        return wanted
    end
    return nil
end

---What came for a prepared request, if not all at once.
local function answer_of(wanted, ok, handle, status, body)
    if not ok then
        error(handle, 0)
    end
    local res = response.new(handle, wanted, status, body)
    return res
end

---Follows the redirects of the answer to a prepared request.
local function follow_prepared(client, wanted, res)
    local timeout = client.options.timeout
    return follow(client, wanted, timeout and now() - res.timing.first_byte + timeout, res)
end

local function with(method, url, options)
    if options ~= nil and type(options) ~= "table" then
        misuse("http: expected a table of options, got a %s%s", type(options),
            url == M and "; call it with a dot: http.get(url), not http:get(url)" or "")
    end
    local all = { method = method, url = url }
    for name, value in pairs(options or {}) do
        if name == "method" or name == "url" then
            misuse("http: option %q is for request{} alone", name)
        end
        all[name] = value
    end
    return all
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:get(url, options)
    local prepared = options == nil and self.prepared
    local wanted = prepared and (prepared[url] or prepare_get(self, url))
    if not wanted then
        return self:request(with("GET", url, options))
    end
    -- No call of ours around the wait, and no tail call behind it: that is what the compiler takes.
    local ok, handle, status, body, head, first_byte, total =
        fetch_prepared(self.pool, wanted.prepared, self.options.timeout or 0)
    local res
    if head then
        res = new_whole(wanted, status, body, head, first_byte, total)
    else
        res = answer_of(wanted, ok, handle, status, body)
    end
    if status < 301 or status > 308 or wanted.redirects == 0 then
        return res
    end
    return follow_prepared(self, wanted, res)
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:post(url, options)
    return self:request(with("POST", url, options))
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:put(url, options)
    return self:request(with("PUT", url, options))
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:patch(url, options)
    return self:request(with("PATCH", url, options))
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:delete(url, options)
    return self:request(with("DELETE", url, options))
end

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function Client:head(url, options)
    return self:request(with("HEAD", url, options))
end

---@class moonloop.http.Observer
---@field sending fun(wanted: moonloop.http.Wanted, proxy?: string)
---@field answered fun(res: moonloop.http.Response)

---Opens a WebSocket: a URL of ws or wss (or http, https, or below the base_url). Raises `refused` with the `status` of
---an answer that is no 101, and what requests raise. See docs/websocket.md.
---@param url string
---@param options? moonloop.http.WebSocketOptions
---@return moonloop.WebSocket
function Client:websocket(url, options)
    local ws = require("moonloop.websocket.client").connect(self, url, options)
    return ws
end

---Has each exchange of this client told, a redirect's too; for `moonloop fetch`.
---@param observer moonloop.http.Observer
function Client:observe(observer)
    self.options.observer, self.prepared = observer, nil
end

---@class moonloop.http.Stats
---@field connections integer open, or being opened
---@field idle integer of those
---@field waiting integer requests that wait for a connection
---@field reused integer how often, so far, a request went out on a connection that had served before
---@field resumed integer how often, so far, a new connection took up an earlier TLS session

---What the pool holds now.
---@return moonloop.http.Stats
function Client:stats()
    local connections, idle, waiting, reused, resumed = core.counts(self.pool)
    return { connections = connections, idle = idle, waiting = waiting, reused = reused, resumed = resumed }
end

handles.finish(Client, "client", function(self)
    return handles.text("HTTP client", self.options.base_url)
end)

---A client with options of its own and connections of its own. Keep it: a client per request shares nothing.
---@param options? moonloop.http.ClientOptions
---@return moonloop.http.Client
function M.client(options)
    options = options or {}
    local limits = client_options.check(options)
    local own = {
        base_url = options.base_url, headers = options.headers,
        timeout = options.timeout == nil and 30 or options.timeout,
        credentials = auth.of(options), redirects = request.redirects(options.redirects),
        jar = request.jar(options.cookies), retries = retry.policy(options.retries),
        proxies = proxies.of_option(options.proxy, proxies.environment()),
    }
    local pool, reason = core.pool(limits.connections, limits.queue, limits.idle, options.verify ~= false,
        options.ca_file, limits.queue_timeout, options.cert_file, options.key_file, limits.nameservers)
    if not pool and (reason:find("^nameservers") or reason:find("^MOONLOOP_")) then
        misuse("http.client: %s%s", reason:find("^n") and "option " or "", reason)
    elseif not pool then
        errors.raise("tls", "http.client: %s", reason)
    end
    local client = setmetatable({ pool = pool, options = own, given = options }, Client)
    client.prepared, client.nprepared = not (own.headers or own.jar or own.retries) and {} or nil, 0
    clients[client] = true
    return client
end

listing.register(clients)

---A client over connections that something else opens; for moonloop.testing.
---@param pool userdata
---@param options moonloop.http.ClientOptions
---@return moonloop.http.Client
function M.client_on(pool, options)
    return setmetatable({ pool = pool, options = options }, Client)
end

local shared = M.client()

---@param url string
---@param options? moonloop.http.Options
---@return moonloop.http.Response
function M.get(url, options)
    local res = shared:get(url, options)
    return res
end

for _, name in ipairs({ "post", "put", "patch", "delete", "head" }) do
    M[name] = function(url, options)
        return shared:request(with(name:upper(), url, options))
    end
end

---@param url string
---@param options? moonloop.http.WebSocketOptions
---@return moonloop.WebSocket
function M.websocket(url, options)
    local ws = shared:websocket(url, options)
    return ws
end

---@param options moonloop.http.Request
---@return moonloop.http.Response
function M.request(options)
    return shared:request(options)
end

M.cookies = cookies.new
M.file = file.new
M.part = multipart.part

---A body for the option `body` that can be sent again, as a redirect or a retry may ask for.
---@param make fun(): (fun(): string?) called for each time that it is sent
---@param length? integer bytes; without it the body is sent in chunks
---@return moonloop.http.Source
function M.rewindable(make, length)
    if type(make) ~= "function" then
        misuse("http.rewindable: expected a function that makes an iterator, got a %s", type(make))
    elseif length ~= nil and not (type(length) == "number" and length >= 0 and length <= 9e15 and length % 1 == 0) then
        misuse("http.rewindable: expected bytes, from 0, as the length")
    end
    return sources.rewindable(make, length)
end

---What the shared client's pool holds now.
---@return moonloop.http.Stats
function M.stats()
    return shared:stats()
end

return M
