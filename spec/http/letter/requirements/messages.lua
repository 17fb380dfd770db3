--- What RFC 9112 asks of a server, by section, in words of our own, and what shows that it is kept. The whole text was
--- gone through: every MUST, MUST NOT, SHOULD, SHOULD NOT, REQUIRED and RECOMMENDED in it (the latter two are MUST and
--- SHOULD) that concerns an origin server is here. "ought" is what the text says without one of these words: an "ought
--- to", a rule of the grammar, a plain statement; of those the ones that a server can break.
---
--- Left out are requirements of clients and user agents (2.2, 3.2, 3.2.1 to 3.2.4, 4, 5.2, 6.1, 6.3, 7.4, 8, 9.2, 9.3,
--- 9.3.2, 9.5, 9.6, 9.8; those that a gateway has to keep as a client are in gateway.lua), of forward proxies (3.2.2,
--- 3.2.4, 5.1, 9.3), and of those who register names (7.3).
---
--- An entry: `[1]` section, `[2]` level, `[3]` what is asked, then one of
---   cases     of spec/http/letter: "FILE: what is shown"
---   specs     examples elsewhere: "FILE: the beginning of its name"
---   handler   it is a matter of what an app answers, and why nothing here can or should decide it
---   absent    it concerns what this server does not do
---   differs   not kept, and why

return {
    -- 2: messages
    { "9112 2.2", "MUST", "messages are read as bytes, whatever their text encoding", cases = {
        "head: a value in bytes beyond ASCII", "head: a byte beyond ASCII that is no UTF-8" } },
    { "9112 2.2", "MUST NOT", "no bare CR is sent outside of content", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9112 2.2", "MUST", "a bare CR outside of content makes the message invalid, or is taken for a blank", cases = {
        "head: a bare CR in a value", "head: a bare CR behind a field", "head: a bare CR at the end of a request line",
        "head: a bare CR before a request", "head: two CR behind a field", "head: a bare CR in an empty value",
        "chunked: a bare CR behind a size", "chunked: a bare CR in a trailer", "chunked: a bare CR in an extension",
        "target: a bare CR in a target" } },
    { "9112 2.2", "SHOULD", "an empty line before a request is skipped", cases = {
        "head: an empty line before a request", "head: two empty lines before a request",
        "connection: an empty line behind a body" } },
    { "9112 2.2", "MUST NOT", "no blanks are sent between the status line and the first field", specs = {
        "spec/http/letter_spec.lua: has nothing between status line and fields" } },
    { "9112 2.2", "MUST", "blanks between the request line and the first field: refused, or those lines are skipped",
        cases = { "head: a blank before the first field", "head: a tab before the first field" } },
    { "9112 2.2", "SHOULD", "what does not match the grammar is answered 400, and the connection closes", cases = {
        "head: a TLS hello", "head: a request line of one word", "head: a byte order mark",
        "head: a response instead of a request", "head: an answer of SSH", "head: a field without a colon",
        "head: a field without a name", "head: a bracket in a name", "head: a bare LF behind a field",
        "limits: a method without an end", "limits: a malformed field, then too many",
        "chunked: a trailer that is no field" } },
    { "9112 2.3", "ought", "the version is HTTP, a slash, a digit, a dot and a digit, in capitals", cases = {
        "head: a lower-case protocol", "head: another protocol", "head: a version without a minor number",
        "versions: a version of two digits", "versions: a version with leading zeros",
        "versions: no version number" } },
    { "9112 2.3", "SHOULD NOT", "no answer is downgraded to HTTP/1.0 without a reason in the client", cases = {
        "answers: an answer to HTTP/1.0 is one of HTTP/1.1 without codings" } },

    -- 3: the request line
    { "9112 3", "ought", "one blank is between the parts, and none before or behind them", cases = {
        "head: two blanks in the request line", "head: two blanks before the version",
        "head: a tab in the request line", "head: four words in a request line" } },
    { "9112 3", "SHOULD", "a method longer than any that is known is answered 501", cases = {
        "methods: a method that is longer than any", "limits: a method near the limit of a request line" } },
    { "9112 3", "MUST", "a target longer than what is read is answered 414", cases = {
        "limits: a request line beyond the limit", "limits: a request line without an end",
        "limits: a request line of 100 KB", "limits: a request line beyond the limit and no version" } },
    { "9112 3", "SHOULD", "request lines of 8000 bytes are supported", cases = {
        "limits: a request line of 8000 bytes", "limits: a query of 8000 bytes" } },
    { "9112 3.1", "ought", "a method is a token, and its case matters", cases = {
        "methods: a method that is no token", "methods: an empty method", "methods: methods are case-sensitive" } },
    { "9112 3.2", "SHOULD", "an invalid request line is answered 400, or 301 with the right one", cases = {
        "head: no target", "head: no version", "head: a simple request of HTTP/0.9", "target: a blank in a target",
        "target: a target that is no path", "target: a fragment in a target" } },
    { "9112 3.2", "SHOULD NOT", "an invalid request line is not mended and then served", cases = {
        "head: two blanks in the request line", "head: a tab in the request line",
        "head: a blank at the start of the request line", "head: a blank at the end of the request line" } },
    { "9112 3.2", "MUST", "400 for HTTP/1.1 without Host", cases = {
        "host: no Host", "host: no Host for what does not exist", "versions: HTTP/1.2 needs Host as HTTP/1.1 does",
        "target: an absolute target still needs Host" } },
    { "9112 3.2", "MUST", "400 for more than one Host", cases = {
        "host: two Hosts", "host: two equal Hosts", "host: two Hosts in HTTP/1.0", "host: two Hosts, one of them empty",
        "target: an absolute target does not excuse two Hosts" } },
    { "9112 3.2", "MUST", "400 for a Host that is none", cases = {
        "host: a blank in Host", "host: a list in Host", "host: a path in Host", "host: userinfo in Host",
        "host: half an IPv6 address", "host: a port that is none", "host: a port beyond 65535",
        "host: bytes beyond ASCII in Host", "host: a malformed Host in HTTP/1.0",
        "target: an absolute target does not excuse a malformed Host" } },
    { "9112 3.2.2", "MUST", "an absolute target is accepted", cases = {
        "target: an absolute target of https", "target: an absolute target without a path",
        "target: an absolute target with a query alone", "target: an absolute target in capitals" } },
    { "9112 3.2.2", "MUST", "an absolute target decides which host is meant, whatever Host says", cases = {
        "target: an absolute target decides over Host", "target: an absolute target overrules an empty Host" } },
    { "9112 3.2.3", "ought", "host and port alone are a target of CONNECT only", cases = {
        "target: an authority as a target of GET", "methods: CONNECT to a path", "methods: CONNECT to no host" } },
    { "9112 3.2.4", "ought", "an asterisk is a target of OPTIONS only", cases = {
        "target: an asterisk with OPTIONS", "target: an asterisk without OPTIONS",
        "target: an asterisk with something behind it" } },
    { "9112 3.3", "ought", "the URI that is meant has the scheme of the connection, unless a gateway that is believed"
        .. " says another, and the host of Host or of an absolute target", cases = {
        "host: a name and a port", "target: an absolute target decides over Host" }, specs = {
        "spec/server/tls_spec.lua: serves https, and says so to handlers",
        "spec/apps/requests_spec.lua: believes X-Forwarded-* of listed peers" } },
    { "9112 3.3", "ought", "where no host is named, the request is refused or the host is the configured one", cases = {
        "host: an empty Host", "host: a Host of blanks alone", "host: an empty Host with an asterisk" } },

    -- 4: the status line
    { "9112 4", "MUST", "the blank behind the status stands there without a reason, too", cases = {
        "answers: a status without a name" } },

    -- 5: fields
    { "9112 5.1", "MUST", "400 for blanks between a name and its colon", cases = {
        "head: a blank before the colon", "head: a tab before the colon",
        "host: a Host behind a blank before its colon",
        "framing: blanks before the colon of a length", "framing: blanks before the colon of Transfer-Encoding",
        "limits: a malformed head with a long body behind it",
        "chunked: a blank before the colon of a trailer" } },
    { "9112 5.2", "MUST NOT", "no field is sent folded", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler ",
        "spec/http/letter_spec.lua: has fields of one line each" } },
    { "9112 5.2", "MUST", "a folded field is answered 400, or unfolded", cases = {
        "head: a folded field", "head: a field folded with a tab", "head: a fold of blanks alone",
        "head: a fold that hides a length", "framing: a folded Transfer-Encoding", "chunked: a folded trailer" } },

    -- 6: bodies
    { "9112 6.1", "MUST", "chunked is understood", cases = {
        "chunked: several chunks", "chunked: no chunk but the last", "framing: Chunked in capitals" } },
    { "9112 6.1", "MUST NOT", "an answer is not chunked twice", cases = {
        "answers: a streamed answer in chunks" },
            specs = { "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9112 6.1", "MUST", "an answer in another coding ends in chunks, or with its connection", absent = "answers have"
        .. " no coding but chunked" },
    { "9112 6.1", "MUST NOT", "no Transfer-Encoding with 204", cases = { "answers: 204 has no length and no coding" } },
    { "9112 6.1", "MUST NOT", "no Transfer-Encoding with 1xx", specs = {
        "spec/http/bodies_spec.lua: is asked for with 100 Continue when the handler reads it",
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways" } },
    { "9112 6.1", "MUST NOT", "no Transfer-Encoding in an answer to CONNECT", absent = "CONNECT is answered 501" },
    { "9112 6.1", "SHOULD", "501 for a coding that is not known here", cases = {
        "framing: a coding before chunked, which nobody here undoes",
        "framing: a coding in a field of its own before chunked" } },
    { "9112 6.1", "MUST NOT", "no Transfer-Encoding to a client of HTTP/1.0", cases = {
        "answers: an answer to HTTP/1.0 is one of HTTP/1.1 without codings",
        "answers: a streamed answer under HTTP/1.0 ends with the connection" } },
    { "9112 6.1", "MUST", "after Transfer-Encoding together with a length the connection closes", cases = {
        "framing: Content-Length and Transfer-Encoding", "framing: Transfer-Encoding and Content-Length",
        "framing: a length and Transfer-Encoding on GET" } },
    { "9112 6.1", "MUST", "Transfer-Encoding in HTTP/1.0 is broken framing, and the connection closes", cases = {
        "framing: Transfer-Encoding in HTTP/1.0", "framing: Transfer-Encoding and a length in HTTP/1.0" } },
    { "9112 6.2", "MUST NOT", "no length together with Transfer-Encoding", cases = {
        "answers: an answer has a length or a coding, not both" } },
    { "9112 6.3", "ought", "no body behind HEAD, 1xx, 204 and 304", cases = {
        "answers: HEAD has no body", "answers: 204 has no body", "answers: 304 has no body",
        "answers: HEAD of a streamed answer", "answers: HEAD of an error has no body either" } },
    { "9112 6.3", "ought", "Transfer-Encoding together with a length is handled as an error", cases = {
        "framing: Content-Length and Transfer-Encoding", "framing: Transfer-Encoding and Content-Length" } },
    { "9112 6.3", "MUST", "400 and close when the last coding is not chunked", cases = {
        "framing: a coding that is not known", "framing: chunked, but not last", "framing: an obfuscated chunked",
        "framing: an empty Transfer-Encoding alone", "framing: identity, which is no coding any more",
        "framing: a coding in a field of its own behind chunked" } },
    { "9112 6.3", "MUST", "400 and close for a length that is none, or several", cases = {
        "framing: two lengths that differ", "framing: a list of lengths that differ", "framing: a negative length",
        "framing: a length with a plus", "framing: a hexadecimal length", "framing: an empty length",
        "framing: a length with a blank inside", "framing: a length with a fraction",
        "framing: two lengths that agree", "framing: a list of lengths" } },
    { "9112 6.3", "MUST",
        "a body that ends, or stands still, before its length is incomplete, and the connection closes",
        specs = { "spec/http/streams_spec.lua: is cancelled when its client leaves in the middle of a body",
            "spec/http/timeouts_spec.lua: 408 for half a body" } },
    { "9112 6.3", "ought", "a request with neither field has no body", cases = {
        "framing: no body without either field", "framing: no length in HTTP/1.0 is no body" } },
    { "9112 6.3", "SHOULD", "answers have a length or chunks rather than ending with the connection", cases = {
        "answers: an answer has its length and its type", "answers: a streamed answer in chunks" } },

    -- 7: codings
    { "9112 7", "ought", "codings are compared in any case", cases = { "framing: Chunked in capitals" } },
    { "9112 7.1", "MUST", "the chunked coding is read and undone", cases = {
        "chunked: several chunks", "chunked: sizes with leading zeros and capitals",
        "chunked: small chunks, many of them" } },
    { "9112 7.1", "MUST", "large chunk sizes do not overflow", cases = {
        "chunked: a size beyond 64 bits", "chunked: the largest size of all",
        "chunked: a size that overflows to a small one", "chunked: a size of seventeen digits, zeros before it" } },
    { "9112 7.1", "SHOULD", "chunked with parameters is an error", cases = { "framing: chunked with a parameter" } },
    { "9112 7.1", "ought", "sizes, data and their line ends are as the grammar has them", cases = {
        "chunked: a size that is none", "chunked: an empty size", "chunked: a size with 0x",
        "chunked: a size with a sign", "chunked: a blank before a size", "chunked: blanks behind a size",
        "chunked: chunk data longer than its size", "chunked: chunk data without its line end",
        "chunked: a last chunk without the empty line" } },
    { "9112 7.1.1", "MUST", "chunk extensions that are not known are skipped", cases = {
        "chunked: an extension without a value", "chunked: an extension in quotes", "chunked: several extensions" } },
    { "9112 7.1.1", "ought", "the length of all chunk extensions is limited, and beyond it a 4xx is sent", cases = {
        "chunked: extensions beyond reason", "chunked: extensions beyond reason, by little" } },
    { "9112 7.1.2", "MUST", "trailers that are kept are kept apart from the fields of the head, or merged", absent =
        "they are checked, then dropped" },
    { "9112 7.1.2", "MUST NOT", "no trailer is merged into the head that does not allow that", cases = {
        "chunked: trailers are skipped", "chunked: trailers that would frame, route or log in mean nothing" } },
    { "9112 7.2", "SHOULD", "codings of compression with parameters are an error", cases = {
        "framing: a coding with a parameter before chunked" } },

    -- 9: connections
    { "9112 9.2", "ought", "answers come in the order of the requests, one final answer to each", cases = {
        "connection: answers come in the order of the requests" } },
    { "9112 9.3", "SHOULD", "connections persist", cases = {
        "connection: HTTP/1.1 keeps the connection", "connection: HTTP/1.0 with keep-alive keeps" } },
    { "9112 9.3", "ought", "close in the request ends the connection, in HTTP/1.0 so does the lack of keep-alive",
        cases = { "connection: Connection: close closes", "connection: HTTP/1.0 closes",
            "connection: keep-alive and close", "connection: HTTP/1.0 with keep-alive and close" } },
    { "9112 9.3", "MUST", "a server whose connections do not persist says close in every answer", absent = "they do" },
    { "9112 9.3", "MUST", "all of a body is read before the next request, or the connection closes", cases = {
        "connection: a pipelined request behind a body that nobody read",
        "connection: a refused body is never the next request", "chunked: chunks that nobody reads, then a request",
        "framing: a length of a body that is refused is skipped, never parsed" } },
    { "9112 9.3.2", "MUST", "pipelined requests are answered in their order", cases = {
        "connection: answers come in the order of the requests",
        "connection: a malformed request behind a slow one costs its answer nothing" }, },
    { "9112 9.5", "SHOULD", "a connection that times out is closed gracefully", specs = {
        "spec/http/timeouts_spec.lua: close an idle connection without an answer",
        "spec/http/timeouts_spec.lua: 408 for half a head" } },
    { "9112 9.5", "SHOULD", "the end of a connection is noticed at any time", specs = {
        "spec/http/streams_spec.lua: is cancelled when its client leaves",
        "spec/http/streams_spec.lua: is cancelled when its client leaves during a streamed answer" } },
    { "9112 9.5", "SHOULD", "in overload clients wait rather than lose their connections", specs = {
        "spec/http/sockets_spec.lua: lets clients beyond max_connections wait while all others are busy",
        "spec/http/sockets_spec.lua: goes on when 300 descriptors are all in use" } },
    { "9112 9.6", "SHOULD", "who is going to close says close", specs = {
        "spec/http/letter_spec.lua: has Connection: close in the last answer and in no other" } },
    { "9112 9.6", "MUST", "after the answer to a request with close, the server closes", cases = {
        "connection: Connection: close closes", "connection: close in a list",
        "connection: close in a second field" } },
    { "9112 9.6", "SHOULD", "the answer to a request with close says close as well", specs = {
        "spec/http/letter_spec.lua: has Connection: close in the last answer and in no other" } },
    { "9112 9.6", "MUST NOT", "no request behind one with close is served", cases = {
        "connection: a request behind Connection: close is never answered",
        "connection: bytes behind Connection: close cost the answer nothing" } },
    { "9112 9.6", "MUST", "an answer that says close is the last, and the server closes", specs = {
        "spec/http/slow_clients_spec.lua: closes the connection behind the last one, which says so" } },
    { "9112 9.6", "MUST NOT", "no request is served behind an answer that said close", cases = {
        "connection: garbage behind a request costs its answer nothing",
        "limits: a body beyond the limit", "framing: a length of a body that is refused is skipped, never parsed" } },
    { "9112 9.6", "ought", "a connection is closed in steps, so that the last answer arrives", cases = {
        "limits: a body of a megabyte that is refused" }, specs = {
        "spec/http/slow_clients_spec.lua: get the answer to a body that was refused while they still send it" } },
    { "9112 9.6", "ought", "a client that has closed its side alone gets its answers all the same", differs = "answers"
        .. " that are ready it gets (spec/http/letter_spec.lua: answers a client that has closed its side); a handler"
        .. " that still waits is cancelled, since TCP has no other sign of a client that has left, and who works on for"
        .. " clients that have left can be brought down by them" },
    { "9112 9.7", "MUST", "over TLS all of HTTP is application data", specs = {
        "spec/server/tls_spec.lua: carries large bodies both ways and requests behind each other" } },
    { "9112 9.8", "SHOULD", "a client that ends without a closure alert does no harm", specs = {
        "spec/http/letter_tls_spec.lua: has had its answers, and costs others nothing" } },
    { "9112 9.8", "MUST", "over TLS a closure alert is sent before the connection closes", specs = {
        "spec/server/tls_spec.lua: finishes what is under way when it stops, with a goodbye" } },

    -- 10 and appendices
    { "9112 10.1", "MUST", "folded lines in content of message/http are unfolded",
        absent = "such content is not read" },
    { "9112 C.1", "ought", "who serves hosts by name does not speak HTTP/0.9", cases = {
        "head: a simple request of HTTP/0.9", "versions: HTTP/0.9 in a request line" } },
    { "9112 C.2.2", "ought", "Keep-Alive and Proxy-Connection of old clients mean nothing", cases = {
        "fields: Keep-Alive is ignored", "fields: Proxy-Connection is ignored" } },
}
