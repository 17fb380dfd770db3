--- What RFC 9110 asks of an origin server, as messages.lua has it of RFC 9112: gone through whole, the same levels, the
--- same kinds of evidence and reasons.
---
--- Left out are requirements of clients and user agents (4.2.2, 4.3.4, 6, 6.2, 7.2, 7.5, 7.8, 8.6, 9.2.1, 9.2.2, 9.3.1
--- to 9.3.8, 10.1, 11.6, 12.5.4, 13.1, 14.2, 14.3, 15 to 15.5), of caches (all of 9.2.3, 12.5.5, 13.2), of forward
--- proxies where a gateway has nothing of them (4.2, 5.1, 7.7, 9.3.6, 11.7, 12.5.5, 15.5.8, 15.5.20), of authors of
--- specifications and of registries (5.5, 6.5.2, 12.4.2, 16, 18), and servers without a clock (6.6.1, 8.8.2.1). Those
--- that a gateway keeps are in gateway.lua.

return {
    -- 2 to 4: conformance, URIs
    { "9110 2.2", "MUST NOT", "nothing is sent that does not match the grammar", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler ",
        "spec/http/letter_spec.lua: has fields of one line each" } },
    { "9110 2.2", "MUST NOT", "nothing is sent that is for others to send",
        cases = { "answers: nothing tells of the server" },
        specs = { "spec/http/letter_spec.lua: has nothing between status line and fields" } },
    { "9110 2.3", "SHOULD", "what comes is read as if it might be anything, of any length", cases = {
        "limits: a field without an end", "limits: a method of 100 KB", "head: a TLS hello" }, specs = {
        "spec/http/corpus_spec.lua: a request that broke the server once" } },
    { "9110 2.3", "MUST", "what the server itself sends, it can read in the same length", cases = {
        "limits: a query of 8000 bytes", "limits: fields of 32000 bytes" } },
    { "9110 2.4", "MUST", "what is understood means what the RFC says", cases = {
        "head: a plain request", "fields: names of fields in any case" } },
    { "9110 3.3", "MUST NOT", "two requests of one connection are not taken for those of one user", specs = {
        "spec/apps/requests_spec.lua: has the parts of this request, not of one before on the same route" } },
    { "9110 4.1", "SHOULD", "URIs of 8000 bytes are supported", cases = { "limits: a query of 8000 bytes" } },
    { "9110 4.2.1", "MUST NOT", "no http URI with an empty host is sent", specs = {
        "spec/server/tls_spec.lua: sends plain requests to redirect_bind on to" } },
    { "9110 4.2.1", "MUST", "an http URI with an empty host is refused", cases = {
        "target: an absolute target without an authority", "target: an absolute target with an empty host and a port",
        "host: an empty host with a port", "host: an empty Host" } },
    { "9110 4.2.2", "MUST", "an https URI with an empty host is refused", cases = {
        "target: an absolute target of https without an authority" } },
    { "9110 4.2.3", "SHOULD NOT", "URIs that are equal once they are normalized do not differ in what they mean",
        cases = {
        "target: encoded letters are the same path", "target: encoded bytes of a path",
        "target: an absolute target without a path", "target: an absolute target in capitals" } },
    { "9110 4.2.4", "MUST NOT", "no URI with userinfo is sent", specs = {
        "spec/server/tls_spec.lua: sends plain requests to redirect_bind on to" } },
    { "9110 4.2.4", "SHOULD", "userinfo in a URI is an error", cases = {
        "host: userinfo in Host", "target: an absolute target with a bad authority" } },

    -- 5: fields
    { "9110 5.1", "ought", "names of fields are compared in any case",
        cases = { "fields: names of fields in any case" } },
    { "9110 5.1", "SHOULD", "fields that are not known are ignored, trailers too", cases = {
        "fields: a field that nobody knows is ignored", "chunked: several trailers" } },
    { "9110 5.2", "ought", "several fields of a name are one list, in their order", cases = {
        "fields: fields of one name in their order" } },
    { "9110 5.3", "MUST NOT", "no field is sent twice that is no list, Set-Cookie apart", handler = "a handler that"
        .. " gives a list for one field wants several; those of the server itself are sent once" },
    { "9110 5.3", "MUST NOT", "no request is served before all of its head is there", specs = {
        "spec/http/timeouts_spec.lua: 408 for half a head" } },
    { "9110 5.4", "MUST", "fields larger than what is read are answered 4xx", cases = {
        "limits: too many fields", "limits: fields that are too long", "limits: a name that is too long",
        "limits: a field without an end", "limits: fields beyond the limit by one" } },
    { "9110 5.5", "MUST", "blanks around a value are no part of it", cases = {
        "fields: blanks and tabs around a value are no part of it", "framing: a length with tabs around it",
        "framing: a length with many tabs behind it", "framing: chunked with tabs around it",
        "host: a Host with tabs around it" } },
    { "9110 5.5", "SHOULD", "bytes beyond ASCII in a value are opaque", cases = {
        "head: a value in bytes beyond ASCII", "head: a byte beyond ASCII that is no UTF-8" } },
    { "9110 5.5", "MUST", "CR, LF and NUL in a value are refused, or taken for blanks", cases = {
        "head: a NUL in a value", "head: a bare CR in a value", "head: a bare CR in an empty value",
        "head: a bare LF in an empty value", "chunked: a NUL in a trailer" } },
    { "9110 5.6.1.1", "MUST NOT", "no empty element is sent in a list", cases = {
        "methods: a wrong method names the right ones", "methods: OPTIONS names what is allowed" } },
    { "9110 5.6.1.2", "MUST", "a few empty elements of a list are skipped", cases = {
        "connection: close among empty list elements", "connection: an empty Connection",
        "expect: 100-continue among empty list elements" } },
    { "9110 5.6.1.2", "MUST", "in Transfer-Encoding as well",
        differs = "servers disagree about empty elements there, and"
        .. " nobody sends them but to profit from that: 400 and close, as for every framing that two servers could read"
        .. " in two ways" },
    { "9110 5.6.3", "SHOULD", "one blank is sent where blanks are", specs = {
        "spec/http/letter_spec.lua: has fields of one line each" } },
    { "9110 5.6.3", "SHOULD NOT", "no blanks are sent where they help nobody", specs = {
        "spec/http/letter_spec.lua: has fields of one line each" } },
    { "9110 5.6.3", "MUST NOT", "no blanks are sent that a grammar calls bad", specs = {
        "spec/http/letter_spec.lua: has fields of one line each" } },
    { "9110 5.6.3", "MUST", "blanks that a grammar calls bad are read over", cases = {
        "chunked: an extension with blanks around its parts" } },
    { "9110 5.6.4", "MUST", "a quoted pair stands for the character it quotes", cases = {
        "chunked: an extension in quotes with a quoted pair" } },
    { "9110 5.6.4", "SHOULD NOT", "quoted pairs are sent only where they have to be", specs = {
        "spec/http/proxy_spec.lua: says the same in Forwarded when asked to" } },
    { "9110 5.6.7", "MUST", "dates are read in all three forms", specs = {
        "spec/unit/http/date_spec.lua: is read in all of its formats" } },
    { "9110 5.6.7", "MUST", "dates are sent in the one form that is preferred", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 5.6.7", "MUST NOT", "and with no other blanks than that has", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 5.6.7", "MUST", "a year of two digits, more than 50 years ahead, is one of the past", specs = {
        "spec/unit/http/date_spec.lua: has a year of two digits that is not more than fifty years ahead" } },

    -- 6: messages
    { "9110 6.2", "SHOULD", "the answer's version is the highest that is spoken here and has the same major number",
        cases = { "versions: HTTP/1.2 is answered as HTTP/1.1",
            "answers: an answer to HTTP/1.0 is one of HTTP/1.1 without codings" } },
    { "9110 6.2", "MUST NOT", "no version is sent that is not spoken here", cases = {
        "versions: HTTP/2.0 in a request line", "versions: the preface of HTTP/2", "versions: HTTP/9.9" } },
    { "9110 6.2", "SHOULD", "a higher minor version is read as HTTP/1.1", cases = {
        "versions: HTTP/1.2 is answered as HTTP/1.1", "versions: HTTP/1.2 with a body in chunks",
        "versions: HTTP/1.9 is answered as HTTP/1.1" } },
    { "9110 6.4.1", "ought", "answers to HEAD, 1xx, 204 and 304 have no content, all others have, if of no length",
        cases = {
        "answers: HEAD has no body", "answers: 204 has no body", "answers: 304 has no body",
            "answers: 205 has no body" } },
    { "9110 6.5.1", "MUST NOT", "no trailer is sent that is not known to be allowed there", absent = "no trailers are"
        .. " sent" },
    { "9110 6.5.1", "MUST NOT", "no trailer is taken for a field of the head", cases = {
        "chunked: trailers that would frame, route or log in mean nothing" } },
    { "9110 6.5.1", "SHOULD NOT", "nothing that a client needs is sent in a trailer", absent = "no trailers are sent" },
    { "9110 6.6.1", "SHOULD", "Date is the time of the answer", specs = {
        "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 6.6.1", "MUST", "2xx, 3xx and 4xx have Date",
        cases = { "answers: an error of the server has Date as well" },
        specs = { "spec/http/letter_spec.lua: has a Date of now in its preferred form" } },
    { "9110 6.6.2", "SHOULD", "trailers are announced", absent = "no trailers are sent" },

    -- 7: routing
    { "9110 7.1", "MUST NOT", "the targets of CONNECT and OPTIONS are none for other methods", cases = {
        "target: an authority as a target of GET", "target: an asterisk without OPTIONS" } },
    { "9110 7.4", "MUST", "a request that does not meet what its scheme asks for is refused", cases = {
        "target: an absolute target of another scheme" }, specs = {
        "spec/http/forwarded_spec.lua: is refused: it was meant for another door" } },
    { "9110 7.4", "MUST", "an https URI is refused on a connection without TLS, unless a trusted gateway brings it",
        specs = { "spec/http/forwarded_spec.lua: is refused: it was meant for another door",
            "spec/http/forwarded_spec.lua: is served to a proxy that is believed" } },
    { "9110 7.4", "MUST",
        "with strict_host, an https URI is refused unless the connection's certificate is for its host",
        specs = { "spec/server/strict_host_spec.lua: answers any other with 421, which says why, and closes" } },
    { "9110 7.6.1", "ought", "connection options are read in any case, from all of the fields", cases = {
        "connection: Connection: Close in capitals", "connection: close in a second field",
        "connection: close in the first of two fields", "connection: close behind a tab" } },
    { "9110 7.6.1", "MUST", "a field about the connection is named in Connection", specs = {
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways",
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it" } },
    { "9110 7.6.1", "MUST NOT", "no connection option is sent that names a field for everybody", cases = {
        "connection: HTTP/1.0 with Keep-Alive in capitals" }, specs = {
        "spec/http/letter_spec.lua: has Connection: close in the last answer and in no other" } },
    { "9110 7.6.1", "ought", "a field about the connection that Connection does not name is ignored", cases = {
        "fields: Upgrade without a Connection option is ignored", "fields: TE is ignored" } },
    { "9110 7.8", "SHOULD", "names of protocols are compared in any case", specs = {
        "spec/http/upgrade_spec.lua: finds what is offered in a list, in any case",
        "spec/http/websocket_spec.lua: with a value among others, in any case" } },
    { "9110 7.8", "MUST", "101 names the protocol in Upgrade", specs = {
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways" } },
    { "9110 7.8", "MUST NOT", "no protocol is taken that the client has not offered", specs = {
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it",
        "spec/http/upgrade_spec.lua: finds what is offered in a list, in any case" } },
    { "9110 7.8", "MUST", "426 names the protocols in Upgrade", specs = {
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it" } },
    { "9110 7.8", "MUST NOT", "no protocol is taken that cannot honour the request", handler = "only it knows what it"
        .. " speaks next; a WebSocket is taken of GET alone (spec/http/websocket_spec.lua)" },
    { "9110 7.8", "MUST", "who sends Upgrade sends the connection option as well", specs = {
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways" } },
    { "9110 7.8", "MUST", "Upgrade in HTTP/1.0 is ignored", cases = { "fields: Upgrade in HTTP/1.0 is ignored" } },
    { "9110 7.8", "MUST", "with 100-continue and Upgrade, 100 goes before 101", specs = {
        "spec/http/upgrade_spec.lua: asks for the body of its request first" } },
    { "9110 7.8", "ought", "an Upgrade that nobody takes changes nothing", cases = {
        "framing: an Upgrade that nobody takes", "framing: an Upgrade that nobody takes, with a body",
        "fields: Upgrade to h2c is not taken", "connection: an Upgrade that nobody takes, then a slow request" } },

    -- 8: representations
    { "9110 8.3", "SHOULD", "content has a Content-Type",
        cases = { "answers: an answer has its length and its type" } },
    { "9110 8.3.3", "MUST", "the parts of a multipart answer are separated by CR LF", absent = "none is made" },
    { "9110 8.4", "MUST", "codings of content are named in Content-Encoding", handler = "the server codes nothing" },
    { "9110 8.4", "SHOULD NOT", "identity is not named there", handler = "the server names none" },
    { "9110 8.4.1", "SHOULD", "x-compress and x-gzip are read as compress and gzip",
        absent = "bodies of requests are not"
        .. " decoded; the client reads x-gzip (spec/http/client_decoding_spec.lua)" },
    { "9110 8.6", "MUST NOT", "HEAD has no other length than GET would have", cases = {
        "answers: HEAD has the length that GET would have" } },
    { "9110 8.6", "MUST NOT", "304 has no other length than 200 would have", cases = {
        "answers: 304 has no body whatever the handler gives, and its fields" } },
    { "9110 8.6", "MUST NOT", "1xx and 204 have no length", cases = { "answers: 204 has no length and no coding" } },
    { "9110 8.6", "MUST NOT", "a successful CONNECT has no length", absent = "CONNECT is answered 501" },
    { "9110 8.6", "SHOULD", "an answer whose length is known has Content-Length", cases = {
        "answers: an answer has its length and its type" } },
    { "9110 8.6", "MUST", "large lengths do not overflow", cases = {
        "framing: a length beyond 64 bits", "framing: a length of 2^63", "framing: the largest length of 64 bits" } },
    { "9110 8.6", "MUST NOT", "no length is sent that is not that of the content", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9110 8.7", "MUST", "Content-Location of a request is not saved with what it brings", handler = "only it saves"
        .. " anything" },
    { "9110 8.7", "MUST NOT", "nor does it change what the request means", cases = {
        "fields: Content-Location of a request changes nothing" } },
    { "9110 8.8.1", "SHOULD", "a weak entity tag changes when what it stands for is no substitute any more", handler =
        "only it knows" },
    { "9110 8.8.2.1", "SHOULD", "Last-Modified is sent where it is known, and taken when the answer is made", handler =
        "only the handler knows what it answers; files are not served yet" },
    { "9110 8.8.2.1", "MUST NOT", "Last-Modified is not in the future; it is then the time of the answer", handler =
        "the server sends none of its own" },
    { "9110 8.8.3", "MUST", "an entity tag that is not strong says W/", handler = "the server makes none" },
    { "9110 8.8.3.1", "SHOULD", "ETag is sent where changes can be told", handler = "only it can tell" },

    -- 9: methods
    { "9110 9.1", "MUST", "GET and HEAD are supported", cases = {
        "head: a plain request", "answers: HEAD has the length that GET would have" } },
    { "9110 9.1", "ought", "methods are compared in their case", cases = { "methods: methods are case-sensitive" } },
    { "9110 9.1", "SHOULD", "501 for a method that nobody knows, or that is not implemented", cases = {
        "methods: a method that does not exist", "methods: CONNECT", "methods: a method of every token character" } },
    { "9110 9.1", "SHOULD", "405 for a method that is known and not allowed", cases = {
        "methods: a wrong method", "methods: PROPFIND, which is known and not allowed" } },
    { "9110 9.2.1", "MUST", "unsafe actions are refused to safe methods",
        handler = "what a route does is its own affair" },
    { "9110 9.3.1", "SHOULD NOT", "a server relies on no private agreement to have content with GET, HEAD or DELETE",
        handler = "nor does it by itself: such content is skipped (framing: a body of GET that nobody asks for)" },
    { "9110 9.3.1", "ought", "content of GET, HEAD and DELETE changes neither target nor meaning", cases = {
        "framing: a body of GET that nobody asks for", "methods: DELETE with a body" } },
    { "9110 9.3.2", "MUST NOT", "HEAD has no content", cases = {
        "answers: HEAD has no body", "answers: HEAD of a handler that fails",
        "answers: HEAD of a wrong method's route", "answers: HEAD that is refused for its head",
        "answers: HEAD that is refused amid its head" } },
    { "9110 9.3.2", "SHOULD", "HEAD has the fields of GET", cases = {
        "answers: HEAD of a streamed answer has the fields of GET",
        "answers: HEAD has the length that GET would have" } },
    { "9110 9.3.3", "SHOULD", "201 and Location when POST created something", handler = "only it knows" },
    { "9110 9.3.4", "MUST", "PUT tells 201 from 200 and 204", handler = "only it knows" },
    { "9110 9.3.4", "SHOULD", "PUT looks whether what came fits, makes it fit or says why not, and saves no field that"
        .. " it does not know", handler = "only it knows" },
    { "9110 9.3.4", "MUST NOT", "PUT gives no validator of what it has changed", handler = "only it knows" },
    { "9110 9.3.4", "SHOULD", "what chooses the URI by itself is POST rather than PUT", handler = "only it knows" },
    { "9110 9.3.4", "MUST", "PUT of what lives elsewhere is redirected", handler = "only it knows" },
    { "9110 9.3.5", "SHOULD", "DELETE tells 202, 204 and 200 apart", handler = "only it knows" },
    { "9110 9.3.6", "MUST", "CONNECT to an empty or impossible port is refused", cases = {
        "methods: CONNECT to an empty port", "methods: CONNECT to a port beyond 65535",
        "methods: CONNECT to a port of zero" } },
    { "9110 9.3.6", "MUST", "what has come for a tunnel is delivered before it ends",
        absent = "CONNECT is answered 501" },
    { "9110 9.3.6", "SHOULD", "CONNECT is restricted to known ports", absent = "CONNECT is answered 501" },
    { "9110 9.3.6", "MUST NOT", "a successful CONNECT has no content fields", absent = "CONNECT is answered 501" },
    { "9110 9.3.7", "SHOULD", "OPTIONS tells what can be done", cases = {
        "methods: OPTIONS names what is allowed", "methods: OPTIONS * names what the server knows" } },
    { "9110 9.3.8", "SHOULD", "TRACE reflects the request, without what is secret in it", absent = "TRACE is not"
        .. " supported: 405, on every route, since what it reflects has been used to steal credentials" },

    -- 10: context
    { "9110 10.1.1", "ought", "Expect is compared in any case, and 417 is for others than 100-continue", cases = {
        "expect: two Expect fields, one of them unknown", "expect: an expectation beside 100-continue" } },
    { "9110 10.1.1", "MUST", "100-continue in HTTP/1.0 is ignored", cases = {
        "expect: 100-continue in HTTP/1.0 is ignored" } },
    { "9110 10.1.1", "MUST", "after 100 comes a final answer", cases = {
        "expect: 100-continue and a body that comes anyway", "expect: 100-continue for a body in chunks" } },
    { "9110 10.1.1", "SHOULD", "a final answer in place of 100 says whether the connection goes on", specs = {
        "spec/http/bodies_spec.lua: is not asked for when nobody reads it, and the connection ends" } },
    { "9110 10.1.1", "MUST", "a request with 100-continue is answered 100, or finally, before its body comes",
        specs = { "spec/http/bodies_spec.lua: is asked for with 100 Continue when the handler reads it",
            "spec/http/bodies_spec.lua: is not asked for when it is too large" } },
    { "9110 10.1.1", "MUST NOT", "100 does not wait for the body", specs = {
        "spec/http/bodies_spec.lua: is asked for with 100 Continue when the handler reads it" } },
    { "9110 10.1.2", "SHOULD NOT", "From is no credential", cases = { "fields: From is ignored" } },
    { "9110 10.2.1", "MUST", "405 has Allow", cases = { "methods: a wrong method names the right ones" } },
    { "9110 10.2.4", "SHOULD NOT", "Server tells nothing in detail",
        cases = { "answers: nothing tells of the server" } },
    { "9110 10.2.4", "SHOULD", "what others add to Server is limited", handler = "the server sends no Server field" },

    -- 11 and 12: authentication, negotiation
    { "9110 11.2", "MUST", "a parameter of a challenge occurs once", handler = "the server itself never answers 401" },
    { "9110 11.4", "SHOULD", "a request without good credentials is answered 401 with a challenge",
        handler = "who may do"
        .. " what is for the app to say" },
    { "9110 11.5", "MUST", "a realm is sent in quotes", handler = "the server itself never answers 401" },
    { "9110 11.6.1", "MUST", "401 has WWW-Authenticate", handler = "the server itself never answers 401" },
    { "9110 12.4.2", "MUST NOT", "no weight has more than three digits behind its dot",
        absent = "no weights are sent" },
    { "9110 12.5.1", "SHOULD", "q is the weight wherever it stands among the parameters",
        absent = "weights are not read:"
        .. " what there is, is sent" },
    { "9110 12.5.3", "SHOULD", "content is sent without a coding when none that is there is wanted",
        absent = "the server"
        .. " codes nothing" },
    { "9110 12.5.3", "ought", "415 for a coding that is not undone says which would do", cases = {
        "fields: a coded body that has to be understood" } },
    { "9110 12.5.3", "MUST NOT", "415 for another reason does not name codings", cases = {
        "fields: a body of another type than is wanted" } },
    { "9110 12.5.5", "SHOULD", "Vary names what the choice was made by", handler = "only it chooses" },

    -- 13: conditions. What a route answers has no validator that the server knows of before it has run.
    { "9110 13.1.1", "MUST", "If-Match is compared strongly, before anything is done",
        handler = "only it has entity tags" },
    { "9110 13.1.1", "MUST NOT", "nothing is done when If-Match does not hold", handler = "only it has entity tags" },
    { "9110 13.1.2", "MUST",
        "If-None-Match is compared weakly, before anything is done; 304 or 412 when it does not hold",
        handler = "only it has entity tags" },
    { "9110 13.1.2", "MUST NOT", "nothing is done when If-None-Match does not hold",
        handler = "only it has entity tags" },
    { "9110 13.1.3", "MUST", "If-Modified-Since beside If-None-Match is ignored", cases = {
        "fields: a date and an entity tag as conditions on what has neither is ignored" } },
    { "9110 13.1.3", "MUST", "an If-Modified-Since that is no date, or on what has none, is ignored", cases = {
        "fields: a malformed date in If-Modified-Since is ignored",
        "fields: a date and an entity tag as conditions on what has neither is ignored" } },
    { "9110 13.1.3", "MUST", "If-Modified-Since is read by the server's clock", handler = "only it has dates" },
    { "9110 13.1.3", "SHOULD", "If-Modified-Since is looked at, and answered 304 when it does not hold",
        handler = "only it"
        .. " has dates" },
    { "9110 13.1.3", "SHOULD NOT", "nothing is done when If-Modified-Since does not hold",
        handler = "only it has dates" },
    { "9110 13.1.4", "MUST", "an If-Unmodified-Since that is no date, or on what has none, is ignored", cases = {
        "fields: a malformed date in If-Unmodified-Since is ignored",
        "fields: If-Unmodified-Since on what has no date is ignored" } },
    { "9110 13.1.4", "MUST", "If-Unmodified-Since beside If-Match is ignored, else looked at before anything is done",
        handler = "only it has dates" },
    { "9110 13.1.4", "MUST NOT", "nothing is done when If-Unmodified-Since does not hold",
        handler = "only it has dates" },
    { "9110 13.1.5", "MUST", "If-Range without Range, or on what has no ranges, is ignored", cases = {
        "fields: If-Range without Range is ignored", "fields: If-Range with a Range on what has none is ignored" } },
    { "9110 13.1.5", "MUST", "If-Range is looked at, and Range ignored when it does not hold", absent = "no parts are"
        .. " sent" },
    { "9110 13.1.5", "SHOULD", "Range is done when If-Range holds", absent = "no parts are sent" },
    { "9110 13.2.1", "MUST", "conditions are looked at after everything else and before the content", handler = "what a"
        .. " route answers has no validator that the server knows of; it may look at the fields itself" },
    { "9110 13.2.1", "MUST", "conditions are ignored where the answer would not be 2xx", cases = {
        "fields: conditions on what does not exist are ignored" } },
    { "9110 13.2.1", "MUST", "conditions of OPTIONS, CONNECT and TRACE are ignored", cases = {
        "fields: conditions of OPTIONS are ignored" } },
    { "9110 13.2.2", "MUST", "conditions are looked at in their order", handler = "only it looks at them" },

    -- 14: ranges
    { "9110 14.1.2", "MUST", "large positions do not overflow", absent = "no parts are sent" },
    { "9110 14.2", "MUST", "a Range of another method than GET is ignored", cases = {
        "fields: a Range of POST is ignored", "fields: a Range of HEAD is ignored" } },
    { "9110 14.2", "MUST", "a Range in a unit that nobody knows is ignored", cases = {
        "fields: a Range in a unit that nobody knows is ignored", "fields: a malformed Range is ignored",
        "fields: a Range of bytes on what has none is ignored" } },
    { "9110 14.2", "SHOULD", "206 for what can be had in parts, 416 where the part is not there",
        absent = "no parts are"
        .. " sent" },
    { "9110 14.4", "MUST", "Content-Range of a request whose method has no use for it is ignored", cases = {
        "fields: Content-Range of GET is ignored", "fields: Content-Range of POST is ignored" } },
    { "9110 14.4", "SHOULD", "Content-Range says the whole length, with 416 too", absent = "no parts are sent" },
    { "9110 14.5", "SHOULD", "400 for Content-Range with a PUT that takes no parts", handler = "whether a PUT takes"
        .. " parts is for its route to say" },

    -- 15: status
    { "9110 15", "ought", "a status is 100 to 599", specs = {
        "spec/apps/answers_spec.lua: is 500 for the bad handler " } },
    { "9110 15.2", "MUST NOT", "no 1xx to HTTP/1.0", cases = { "expect: 100-continue in HTTP/1.0 is ignored" } },
    { "9110 15.2.2", "MUST", "101 says what is spoken from now on", specs = {
        "spec/http/upgrade_spec.lua: is answered 101, then carries bytes both ways" } },
    { "9110 15.3.1", "SHOULD", "200 to GET and HEAD has the validators that there are", handler = "only it has any" },
    { "9110 15.3.6", "MUST NOT", "205 has no content", cases = { "answers: 205 has no body" } },
    { "9110 15.3.7", "MUST", "206 has the fields of 200 and says which part it has, alone or of several", absent =
        "no parts are sent" },
    { "9110 15.3.7", "MUST NOT", "206 of several parts has no Content-Range, and of one no parts", absent =
        "no parts are sent" },
    { "9110 15.3.7", "SHOULD", "206 of several parts has them in their order, each with its type", absent =
        "no parts are sent" },
    { "9110 15.3.7", "SHOULD NOT", "206 after If-Range has no more fields than it has to",
        absent = "no parts are sent" },
    { "9110 15.4.1", "SHOULD", "300 has a list of what there is, and the one that is preferred in Location", handler =
        "only it knows" },
    { "9110 15.4.2", "SHOULD", "301, 302, 307 and 308 have Location (15.4.2, 15.4.3, 15.4.8, 15.4.9)", specs = {
        "spec/apps/answers_spec.lua: redirects",
        "spec/server/tls_spec.lua: sends plain requests to redirect_bind on to" } },
    { "9110 15.4.5", "MUST", "304 has the fields that 200 would have had", cases = {
        "answers: 304 has no body whatever the handler gives, and its fields" } },
    { "9110 15.4.5", "SHOULD NOT", "304 has no more about what it stands for",
        handler = "the server adds no type and no"
        .. " length to a 304; what the handler gives is sent" },
    { "9110 15.5", "SHOULD", "4xx says what was wrong", cases = { "answers: an answer that refuses says why" } },
    { "9110 15.5.2", "MUST", "401 has a challenge", handler = "the server itself never answers 401" },
    { "9110 15.5.6", "MUST", "405 lists the methods in Allow", cases = {
        "methods: a wrong method names the right ones" } },
    { "9110 15.5.7", "SHOULD", "406 lists what there is", handler = "the server itself never answers 406" },
    { "9110 15.5.10", "SHOULD", "409 says where the conflict is", handler = "the server itself never answers 409" },
    { "9110 15.5.14", "SHOULD", "413 that will pass says when, in Retry-After", absent = "a limit does not pass" },
    { "9110 15.5.17", "SHOULD", "416 says how long it is", absent = "no parts are sent" },
    { "9110 15.5.22", "MUST", "426 says what has to be spoken", specs = {
        "spec/http/upgrade_spec.lua: is refused with 426 to a client that has not asked for it" } },
    { "9110 15.6", "SHOULD", "5xx says what was wrong", cases = { "answers: a handler that fails" } },
    { "9110 15.6.6", "SHOULD", "505 says which versions are spoken", cases = {
        "versions: the answer to another version names what is spoken" } },

    -- 17: security
    { "9110 17.3", "ought", "no path leads out of the place that it is about", specs = {
        "spec/http/proxy_spec.lua: is refused when its path climbs" } },
    { "9110 17.5", "ought", "names, numbers, methods and chunk sizes are read within limits", cases = {
        "limits: a name that is too long", "limits: a method of 100 KB", "chunked: a size beyond 64 bits" } },
    { "9110 17.10", "ought", "Content_Length is not taken for Content-Length", cases = {
        "framing: a name that only looks like Transfer-Encoding" } },
}
