--- What RFC 9112 and RFC 9110 ask of an origin server: every MUST, MUST NOT, SHOULD and SHOULD NOT that concerns
--- one, by section, in words of our own, and what shows that it is kept. spec/http/requirements_spec.lua looks
--- whether all of that exists.
---
--- An entry: `[1]` section, `[2]` level, `[3]` what is asked, then one of
---   cases     of spec/http/letter: "FILE: what is shown"
---   specs     examples elsewhere: "FILE: the beginning of its name"
---   handler   it is a matter of what an app answers, and why nothing here can or should decide it
---   absent    it concerns what this server does not do
---   differs   not kept, and why

return {
    -- RFC 9112, 2: messages
    { "9112 2.2", "MUST", "messages are read as bytes, whatever their text encoding", cases = {
        "head: a value in bytes beyond ASCII", "head: a byte beyond ASCII that is no UTF-8" } },
    { "9112 2.2", "MUST NOT", "no bare CR is sent outside of content", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9112 2.2", "MUST", "a bare CR outside of content makes the message invalid, or is taken for a blank", cases = {
        "head: a bare CR in a value", "head: a bare CR behind a field", "head: a bare CR at the end of a request line",
        "head: a bare CR before a request", "chunked: a bare CR behind a size", "chunked: a bare CR in a trailer",
        "target: a bare CR in a target" } },
    { "9112 2.2", "SHOULD", "an empty line before a request is skipped", cases = {
        "head: an empty line before a request", "head: two empty lines before a request",
        "connection: an empty line behind a body" } },
    { "9112 2.2", "MUST NOT", "no blanks are sent between the status line and the first field", specs = {
        "spec/http/letter_spec.lua: has nothing between status line and fields" } },
    { "9112 2.2", "MUST", "blanks between the request line and the first field: refused, or those lines are skipped",
        cases = { "head: a blank before the first field", "head: a tab before the first field" } },
    { "9112 2.2", "SHOULD", "what is no HTTP is answered 400, and the connection closes", cases = {
        "head: a TLS hello", "head: a request line of one word", "head: a byte order mark" } },
    { "9112 2.3", "MUST", "the version is HTTP, a slash, a digit, a dot and a digit, in capitals", cases = {
        "head: a lower-case protocol", "head: another protocol", "versions: a version of two digits",
        "versions: a version with leading zeros", "versions: no version number" } },

    -- RFC 9112, 3: the request line
    { "9112 3", "SHOULD", "a method longer than any that is known is answered 501", cases = {
        "methods: a method that is longer than any", "limits: a method without an end" } },
    { "9112 3", "MUST", "a target longer than what is read is answered 414", cases = {
        "limits: a request line beyond the limit", "limits: a request line without an end",
        "limits: a request line of 100 KB" } },
    { "9112 3", "SHOULD", "request lines of 8000 bytes are supported", cases = {
        "limits: a request line of 8000 bytes", "limits: a query of 8000 bytes" } },
    { "9112 3", "SHOULD", "an invalid request line is answered 400, or 301 with the right one", cases = {
        "head: no target", "head: no version", "head: four words in a request line", "target: a blank in a target" } },
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
        "host: a blank in Host", "host: userinfo in Host", "host: half an IPv6 address", "host: a port that is none",
        "host: a port beyond 65535", "host: bytes beyond ASCII in Host", "host: a malformed Host in HTTP/1.0" } },
    { "9112 3.2.2", "MUST", "an absolute target is accepted", cases = {
        "target: an absolute target of https", "target: an absolute target without a path",
        "target: an absolute target with a query alone", "target: an absolute target in capitals" } },
    { "9112 3.2.2", "MUST", "an absolute target decides which host is meant, whatever Host says", cases = {
        "target: an absolute target decides over Host", "target: an absolute target overrules an empty Host" } },
    { "9112 3.2.3", "MUST", "host and port alone are a target of CONNECT only", cases = {
        "target: an authority as a target of GET", "methods: CONNECT to a path" } },
    { "9112 3.2.4", "MUST", "an asterisk is a target of OPTIONS only", cases = {
        "target: an asterisk with OPTIONS", "target: an asterisk without OPTIONS",
        "target: an asterisk with something behind it" } },

    -- RFC 9112, 4: the status line
    { "9112 4", "MUST", "the blank behind the status stands there without a reason, too", cases = {
        "answers: a status without a name" } },

    -- RFC 9112, 5: fields
    { "9112 5", "SHOULD", "a line that is no field is answered 400", cases = {
        "head: a field without a colon", "head: a field without a name", "chunked: a trailer that is no field" } },
    { "9112 5.1", "MUST", "400 for blanks between a name and its colon", cases = {
        "head: a blank before the colon", "head: a tab before the colon",
        "host: a Host behind a blank before its colon",
        "framing: blanks before the colon of a length", "framing: blanks before the colon of Transfer-Encoding",
        "chunked: a blank before the colon of a trailer" } },
    { "9112 5.1", "MUST", "blanks around a value are no part of it", cases = {
        "fields: blanks and tabs around a value are no part of it", "framing: a length with tabs around it",
        "host: a Host with tabs around it" } },
    { "9112 5.2", "MUST NOT", "no field is sent folded", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9112 5.2", "MUST", "a folded field is answered 400, or unfolded", cases = {
        "head: a folded field", "head: a field folded with a tab", "head: a fold of blanks alone",
        "head: a fold that hides a length", "framing: a folded Transfer-Encoding", "chunked: a folded trailer" } },

    -- RFC 9112, 6: bodies
    { "9112 6.1", "MUST", "chunked is understood", cases = {
        "chunked: several chunks", "chunked: no chunk but the last", "framing: Chunked in capitals" } },
    { "9112 6.1", "MUST NOT", "chunked is applied once at most", cases = {
        "framing: chunked twice", "framing: chunked in two fields" } },
    { "9112 6.1", "MUST", "a coded answer ends in chunks, or with its connection", cases = {
        "answers: a streamed answer in chunks", "answers: an answer has a length or a coding, not both" } },
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
    { "9112 6.3", "MUST", "no body behind HEAD, 1xx, 204 and 304", cases = {
        "answers: HEAD has no body", "answers: 204 has no body", "answers: 304 has no body",
        "answers: HEAD of a streamed answer", "answers: HEAD of an error has no body either" } },
    { "9112 6.3", "MUST", "400 and close when the last coding is not chunked", cases = {
        "framing: a coding that is not known", "framing: chunked, but not last", "framing: an obfuscated chunked",
        "framing: an empty Transfer-Encoding alone", "framing: identity, which is no coding any more",
        "framing: a coding in a field of its own behind chunked" } },
    { "9112 6.3", "MUST", "400 and close for a length that is none, or several", cases = {
        "framing: two lengths that differ", "framing: a list of lengths that differ", "framing: a negative length",
        "framing: a length with a plus", "framing: a hexadecimal length", "framing: an empty length",
        "framing: a length with a blank inside", "framing: a length with a fraction" } },
    { "9112 6.3", "MUST", "a body that ends before its length is incomplete, and the connection closes", specs = {
        "spec/http/streams_spec.lua: is cancelled when its client leaves in the middle of a body" } },
    { "9112 6.3", "MUST", "a request with neither field has no body", cases = {
        "framing: no body without either field", "framing: no length in HTTP/1.0 is no body" } },
    { "9112 6.3", "SHOULD", "answers have a length or chunks rather than ending with the connection", cases = {
        "answers: an answer has its length and its type", "answers: a streamed answer in chunks" } },

    -- RFC 9112, 7: codings
    { "9112 7", "MUST", "codings are compared in any case", cases = { "framing: Chunked in capitals" } },
    { "9112 7.1", "MUST", "large chunk sizes do not overflow", cases = {
        "chunked: a size beyond 64 bits", "chunked: the largest size of all",
        "chunked: a size that overflows to a small one", "chunked: a size of seventeen digits, zeros before it" } },
    { "9112 7.1", "SHOULD", "chunked with parameters is an error", cases = { "framing: chunked with a parameter" } },
    { "9112 7.1", "MUST", "sizes, data and their line ends are as the grammar has them", cases = {
        "chunked: a size that is none", "chunked: an empty size", "chunked: a size with 0x",
        "chunked: a size with a sign",
        "chunked: chunk data longer than its size", "chunked: chunk data without its line end",
        "chunked: a last chunk without the empty line" } },
    { "9112 7.1.1", "MUST", "chunk extensions that are not known are skipped", cases = {
        "chunked: an extension without a value", "chunked: an extension in quotes", "chunked: several extensions" } },
    { "9112 7.1.1", "SHOULD", "the length of all chunk extensions is limited", cases = {
        "chunked: extensions beyond reason", "chunked: extensions beyond reason, by little" } },
    { "9112 7.1.2", "MUST", "trailers are kept apart from the fields of the head", cases = {
        "chunked: trailers are skipped", "chunked: trailers that would frame, route or log in mean nothing" } },

    -- RFC 9112, 9: connections
    { "9112 9.3", "SHOULD", "connections persist", cases = {
        "connection: HTTP/1.1 keeps the connection", "connection: HTTP/1.0 with keep-alive keeps" } },
    { "9112 9.3", "MUST", "close in the request ends the connection, in HTTP/1.0 so does the lack of keep-alive",
        cases = { "connection: Connection: close closes", "connection: HTTP/1.0 closes",
            "connection: keep-alive and close", "connection: HTTP/1.0 with keep-alive and close" } },
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
    { "9112 9.6", "MUST", "after the answer to a request with close, the server closes", cases = {
        "connection: Connection: close closes", "connection: close in a list",
        "connection: close in a second field" } },
    { "9112 9.6", "SHOULD", "the last answer says close", specs = {
        "spec/http/letter_spec.lua: has Connection: close in the last answer and in no other" } },
    { "9112 9.6", "MUST NOT", "no request behind one with close is served", cases = {
        "connection: a request behind Connection: close is never answered",
        "connection: bytes behind Connection: close cost the answer nothing" } },
    { "9112 9.6", "MUST", "an answer that says close is the last, and the server closes", specs = {
        "spec/http/slow_clients_spec.lua: closes the connection behind the last one, which says so" } },
    { "9112 9.6", "SHOULD", "a connection is closed in steps, so that the last answer arrives", cases = {
        "limits: a body of a megabyte that is refused" }, },
    { "9112 9.8", "MUST", "over TLS a closure alert is sent before the connection closes", specs = {
        "spec/server/tls_spec.lua: finishes what is under way when it stops, with a goodbye" } },
    { "9112 9.8", "SHOULD", "a client that ends without a closure alert may take up its session again", specs = {
        "spec/server/tls_spec.lua: takes up a session with any of its workers" } },
    { "9112 C.2.2", "SHOULD", "Keep-Alive and Proxy-Connection of old clients mean nothing", cases = {
        "fields: Keep-Alive is ignored", "fields: Proxy-Connection is ignored" } },

    -- RFC 9110, 2 to 4: versions, URIs
    { "9110 2.2", "MUST NOT", "nothing is sent that does not match the grammar", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9110 2.5", "SHOULD", "a higher minor version is read as HTTP/1.1", cases = {
        "versions: HTTP/1.2 is answered as HTTP/1.1", "versions: HTTP/1.2 with a body in chunks" } },
    { "9110 3.3", "MUST NOT", "two requests of one connection are not taken for those of one user", specs = {
        "spec/apps/requests_spec.lua: has the parts of this request, not of one before on the same route" } },
    { "9110 4.1", "SHOULD", "URIs of 8000 bytes are supported", cases = { "limits: a query of 8000 bytes" } },
    { "9110 4.2.1", "MUST", "an http URI with an empty host is refused", cases = {
        "target: an absolute target without an authority", "target: an absolute target with an empty host and a port",
        "host: an empty host with a port" } },
    { "9110 4.2.2", "MUST", "an https URI with an empty host is refused", cases = {
        "target: an absolute target of https without an authority" } },
    { "9110 4.2.3", "SHOULD", "encoded letters are the same as plain ones", cases = {
        "target: encoded letters are the same path", "target: encoded bytes of a path" } },
    { "9110 4.2.4", "SHOULD", "userinfo in a URI is an error", cases = {
        "host: userinfo in Host", "target: an absolute target with a bad authority" } },

    -- RFC 9110, 5: fields
    { "9110 5.1", "MUST", "names of fields are compared in any case",
        cases = { "fields: names of fields in any case" } },
    { "9110 5.1", "SHOULD", "fields that are not known are ignored", cases = {
        "fields: a field that nobody knows is ignored" } },
    { "9110 5.3", "MUST NOT", "fields of one name keep their order", cases = {
        "fields: fields of one name in their order" } },
    { "9110 5.3", "MUST NOT", "no field is sent twice that is no list, Set-Cookie apart", handler = "a handler that"
        .. " gives a list for one field wants several; those of the server itself are sent once" },
    { "9110 5.3", "MUST NOT", "no request is served before all of its head is there", specs = {
        "spec/http/timeouts_spec.lua: 408 for half a head" } },
    { "9110 5.4", "MUST", "fields larger than what is read are answered 4xx", cases = {
        "limits: too many fields", "limits: fields that are too long", "limits: a name that is too long",
        "limits: a field without an end" } },
    { "9110 5.5", "MUST", "CR, LF and NUL in a value are refused, or taken for blanks", cases = {
        "head: a NUL in a value", "head: a bare CR in a value", "head: a bare CR in an empty value",
        "chunked: a NUL in a trailer" } },
    { "9110 5.5", "SHOULD", "bytes beyond ASCII in a value are opaque", cases = {
        "head: a value in bytes beyond ASCII", "head: a byte beyond ASCII that is no UTF-8" } },
    { "9110 5.6.1.1", "MUST NOT", "no empty element is sent in a list", cases = {
        "methods: a wrong method names the right ones", "methods: OPTIONS names what is allowed" } },
    { "9110 5.6.1.2", "MUST", "a few empty elements of a list are skipped", cases = {
        "connection: close among empty list elements", "connection: an empty Connection",
        "expect: 100-continue among empty list elements" } },
    { "9110 5.6.3", "MUST", "blanks that a grammar calls bad are read over", cases = {
        "chunked: an extension with blanks around its parts" } },
    { "9110 5.6.4", "MUST", "a quoted pair stands for the character it quotes", cases = {
        "chunked: an extension in quotes with a quoted pair" } },
    { "9110 5.6.7", "MUST", "dates are sent in the one form that is preferred", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 5.6.7", "MUST", "dates are read in all three forms", absent = "no date of a request is read: preconditions"
        .. " are the handler's" },

    -- RFC 9110, 6: messages
    { "9110 6.2", "SHOULD", "the answer's version is the highest that is spoken here and has the same major number",
        cases = { "versions: HTTP/1.2 is answered as HTTP/1.1",
            "answers: an answer to HTTP/1.0 is one of HTTP/1.1 without codings" } },
    { "9110 6.2", "MUST NOT", "no version is sent that is not spoken here", cases = {
        "versions: HTTP/2.0 in a request line", "versions: the preface of HTTP/2", "versions: HTTP/9.9" } },
    { "9110 6.5.1", "MUST NOT", "no trailer is taken for a field of the head", cases = {
        "chunked: trailers that would frame, route or log in mean nothing" } },
    { "9110 6.5.1", "MUST NOT", "no trailer is sent that is not known to be allowed there", absent = "no trailers are"
        .. " sent" },
    { "9110 6.6.1", "MUST", "2xx, 3xx and 4xx have Date", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 6.6.1", "SHOULD", "Date is the time of the answer", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 6.6.2", "SHOULD", "trailers are announced", absent = "no trailers are sent" },

    -- RFC 9110, 7: routing
    { "9110 7.4", "MUST", "an https URI is refused on a connection without TLS, unless a trusted gateway brings it",
        specs = { "spec/http/forwarded_spec.lua: is refused: it was meant for another door",
            "spec/http/forwarded_spec.lua: is served to a proxy that is believed" } },
    { "9110 7.4", "MUST", "an https URI is refused when the connection's certificate is not one for its host",
        differs = "clients look at that before they ask, and who asks by address or by a new name gets the first"
            .. " certificate, as everywhere" },
    { "9110 7.6.1", "MUST", "connection options are read in any case, from all of the fields", cases = {
        "connection: Connection: Close in capitals", "connection: close in a second field",
        "connection: close in the first of two fields", "connection: close behind a tab" } },
    { "9110 7.6.1", "MUST NOT", "no connection option is sent that names a field for everybody", cases = {
        "connection: HTTP/1.0 with Keep-Alive in capitals" } },
    { "9110 7.6.2", "SHOULD", "Max-Forwards means nothing for other methods than TRACE and OPTIONS", cases = {
        "fields: Max-Forwards of GET is ignored" } },
    { "9110 7.6.3", "MUST", "a gateway adds itself to Via of what it passes on", specs = {
        "spec/http/proxy_spec.lua: says who asked, and by whom it came" } },
    { "9110 7.6.1", "MUST", "a gateway drops Connection and the fields that it names", specs = {
        "spec/http/proxy_spec.lua: loses the fields that are for one hop alone" } },
    { "9110 7.7", "MUST NOT", "a gateway does not change path, query or content", specs = {
        "spec/http/proxy_spec.lua: goes on with its method, path, query and body",
        "spec/http/proxy_spec.lua: is not decoded" } },
    { "9110 7.8", "MUST", "101 names the protocol in Upgrade, and in Connection that it does", specs = {
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways" } },
    { "9110 7.8", "MUST NOT", "no protocol is taken that the client has not offered", specs = {
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it",
        "spec/http/upgrade_spec.lua: finds what is offered in a list, in any case" } },
    { "9110 7.8", "MUST", "426 names the protocols in Upgrade", specs = {
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it" } },
    { "9110 7.8", "MUST", "Upgrade in HTTP/1.0 is ignored", cases = { "fields: Upgrade in HTTP/1.0 is ignored" } },
    { "9110 7.8", "MUST", "with 100-continue and Upgrade, 100 goes before 101", specs = {
        "spec/http/upgrade_spec.lua: asks for the body of its request first" } },
    { "9110 7.8", "MUST NOT", "an Upgrade that nobody takes changes nothing", cases = {
        "framing: an Upgrade that nobody takes", "framing: an Upgrade that nobody takes, with a body",
        "fields: Upgrade to h2c is not taken", "connection: an Upgrade that nobody takes, then a slow request" } },

    -- RFC 9110, 8: representations
    { "9110 8.3", "SHOULD", "content has a Content-Type",
        cases = { "answers: an answer has its length and its type" } },
    { "9110 8.4", "MUST", "codings of content are named in Content-Encoding", handler = "the server codes nothing" },
    { "9110 8.6", "SHOULD", "an answer whose length is known has Content-Length", cases = {
        "answers: an answer has its length and its type" } },
    { "9110 8.6", "MUST NOT", "HEAD has no other length than GET would have", cases = {
        "answers: HEAD has the length that GET would have" } },
    { "9110 8.6", "MUST NOT", "304 has no other length than 200 would have", cases = {
        "answers: 304 has no body whatever the handler gives, and its fields" } },
    { "9110 8.6", "MUST NOT", "1xx and 204 have no length", cases = { "answers: 204 has no length and no coding" } },
    { "9110 8.6", "MUST NOT", "no length is sent that is not that of the content", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9110 8.6", "MUST", "large lengths do not overflow", cases = {
        "framing: a length beyond 64 bits", "framing: a length of 2^63", "framing: the largest length of 64 bits" } },
    { "9110 8.8", "SHOULD", "Last-Modified and ETag are sent where they are known, and true", handler = "only the"
        .. " handler knows what it answers; files are not served yet" },

    -- RFC 9110, 9: methods
    { "9110 9.1", "MUST", "GET and HEAD are supported", cases = {
        "head: a plain request", "answers: HEAD has the length that GET would have" } },
    { "9110 9.1", "MUST", "methods are compared in their case", cases = { "methods: methods are case-sensitive" } },
    { "9110 9.1", "SHOULD", "501 for a method that nobody knows", cases = { "methods: a method that does not exist" } },
    { "9110 9.1", "SHOULD", "405 for a method that is known and not allowed", cases = {
        "methods: a wrong method", "methods: PROPFIND, which is known and not allowed" } },
    { "9110 9.2.1", "MUST", "safe methods change nothing", handler = "what a route does is its own affair" },
    { "9110 9.3.1", "SHOULD NOT", "content of a GET means nothing to the server", cases = {
        "framing: a body of GET that nobody asks for" } },
    { "9110 9.3.2", "MUST NOT", "HEAD has no content", cases = {
        "answers: HEAD has no body", "answers: HEAD of a handler that fails",
        "answers: HEAD of a wrong method's route", "answers: HEAD that is refused for its head",
        "answers: HEAD that is refused amid its head" } },
    { "9110 9.3.2", "SHOULD", "HEAD has the fields of GET", cases = {
        "answers: HEAD of a streamed answer has the fields of GET",
        "answers: HEAD has the length that GET would have" } },
    { "9110 9.3.3", "SHOULD", "201 and Location when something was created", handler = "only it knows" },
    { "9110 9.3.4", "MUST", "PUT tells 201 from 200 and 204, and gives no validator of what it has changed",
        handler = "only it knows" },
    { "9110 9.3.5", "SHOULD", "DELETE tells 202, 204 and 200 apart", handler = "only it knows" },
    { "9110 9.3.6", "MUST", "400 for CONNECT to an empty or impossible port", cases = {
        "methods: CONNECT to an empty port", "methods: CONNECT to a port beyond 65535",
        "methods: CONNECT to a port of zero" } },
    { "9110 9.3.6", "MUST NOT", "a successful CONNECT has no content fields", absent = "CONNECT is answered 501" },
    { "9110 9.3.7", "SHOULD", "OPTIONS tells what can be done", cases = {
        "methods: OPTIONS names what is allowed", "methods: OPTIONS * names what the server knows" } },
    { "9110 9.3.8", "SHOULD", "TRACE reflects the request, without what is secret in it", absent = "TRACE is not"
        .. " supported: 405, on every route, since what it reflects has been used to steal credentials" },

    -- RFC 9110, 10: context
    { "9110 10.1.1", "MUST", "100-continue in HTTP/1.0 is ignored", cases = {
        "expect: 100-continue in HTTP/1.0 is ignored" } },
    { "9110 10.1.1", "MUST", "after 100 comes a final answer", cases = {
        "expect: 100-continue and a body that comes anyway", "expect: 100-continue for a body in chunks" } },
    { "9110 10.1.1", "MUST", "a request with 100-continue is answered 100, or finally, before its body comes",
        specs = { "spec/http/bodies_spec.lua: is asked for with 100 Continue when the handler reads it",
            "spec/http/bodies_spec.lua: is not asked for when it is too large" } },
    { "9110 10.1.1", "MUST NOT", "100 does not wait for the body", specs = {
        "spec/http/bodies_spec.lua: is asked for with 100 Continue when the handler reads it" } },
    { "9110 10.1.1", "SHOULD", "a final answer in place of 100 says whether the connection goes on", specs = {
        "spec/http/bodies_spec.lua: is not asked for when nobody reads it, and the connection ends" } },
    { "9110 10.2.1", "MUST", "405 has Allow", cases = { "methods: a wrong method names the right ones" } },
    { "9110 10.2.4", "SHOULD NOT", "Server tells nothing in detail",
        cases = { "answers: nothing tells of the server" } },
    { "9110 10.2.2", "SHOULD", "Location of a redirect names where to go", specs = {
        "spec/apps/answers_spec.lua: redirects",
        "spec/server/tls_spec.lua: sends plain requests to redirect_bind on to" } },

    -- RFC 9110, 11 to 14: authentication, negotiation, conditions, ranges
    { "9110 11.6.1", "MUST", "401 has WWW-Authenticate", handler = "the server itself never answers 401" },
    { "9110 12.5.3", "SHOULD", "415 for a coding that is not undone says which would do", cases = {
        "fields: a coded body that has to be understood" } },
    { "9110 12.5.5", "SHOULD", "Vary names what the choice was made by", handler = "only it chooses" },
    { "9110 13.1.3", "MUST", "an If-Modified-Since that is no date is ignored", cases = {
        "fields: a malformed date in If-Modified-Since is ignored" } },
    { "9110 13.1.4", "MUST", "an If-Unmodified-Since that is no date is ignored", cases = {
        "fields: a malformed date in If-Unmodified-Since is ignored" } },
    { "9110 13.1.5", "MUST", "If-Range without Range is ignored", cases = {
        "fields: If-Range without Range is ignored" } },
    { "9110 13.2.1", "MUST", "conditions are looked at after everything else, and only where the answer would be 2xx",
        handler = "what a route answers has no validator that the server knows of; it may look at the fields itself" },
    { "9110 14.2", "MUST", "a Range in a unit that nobody knows is ignored", cases = {
        "fields: a Range in a unit that nobody knows is ignored", "fields: a malformed Range is ignored",
        "fields: a Range of bytes on what has none is ignored" } },
    { "9110 14.5", "SHOULD", "400 for Content-Range with a PUT that takes no parts", handler = "whether a PUT takes"
        .. " parts is for its route to say" },

    -- RFC 9110, 15: status
    { "9110 15.2", "MUST NOT", "no 1xx to HTTP/1.0", cases = { "expect: 100-continue in HTTP/1.0 is ignored" } },
    { "9110 15.3.6", "MUST NOT", "205 has no content", cases = { "answers: 205 has no body" } },
    { "9110 15.3.7", "MUST", "206 says which part it has", absent = "no parts are sent" },
    { "9110 15.4", "SHOULD", "a redirect has Location", specs = { "spec/apps/answers_spec.lua: redirects" } },
    { "9110 15.4.5", "MUST", "304 has the fields that 200 would have had", cases = {
        "answers: 304 has no body whatever the handler gives, and its fields" } },
    { "9110 15.5", "SHOULD", "4xx says what was wrong", cases = { "answers: an answer that refuses says why" } },
    { "9110 15.5.2", "MUST", "401 has a challenge", handler = "the server itself never answers 401" },
    { "9110 15.5.6", "MUST", "405 lists the methods in Allow", cases = {
        "methods: a wrong method names the right ones" } },
    { "9110 15.5.14", "SHOULD", "413 that will pass says when, in Retry-After", absent = "a limit does not pass" },
    { "9110 15.6", "SHOULD", "5xx says what was wrong", cases = { "answers: a handler that fails" } },
    { "9110 15.6.6", "SHOULD", "505 says which versions are spoken", cases = {
        "versions: the answer to another version names what is spoken" } },
}
