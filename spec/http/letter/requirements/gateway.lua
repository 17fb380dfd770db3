--- What RFC 9110 and RFC 9112 ask of a gateway, which moonloop.proxy is: a server to those who ask, and a client to the
--- one behind. Requirements of messages.lua and semantics.lua hold for it as well. What only forward proxies have to do
--- (CONNECT, absolute targets, Proxy-Authenticate, 407) is left out; what a proxy must and a gateway does all the same
--- is here. The kinds of evidence and reasons are those of messages.lua.

return {
    { "9112 2.3", "MUST", "its own version is in what it passes on, both ways", specs = {
        "spec/http/letter_gateway_spec.lua: speaks its own version, whatever the client's was" } },
    { "9112 3.2.2", "MUST", "Host is made anew from the host that was asked for", specs = {
        "spec/http/proxy_spec.lua: says who asked, and by whom it came",
        "spec/http/proxy_spec.lua: keeps the client's Host when asked to" } },
    { "9112 5.1", "MUST", "no blank between a name and its colon is passed on", specs = {
        "spec/http/letter_gateway_spec.lua: passes no blank before a colon on, and no folded field" } },
    { "9112 5.2", "MUST", "a folded field of an answer is a 502, or unfolded", specs = {
        "spec/http/letter_gateway_spec.lua: passes no blank before a colon on, and no folded field" } },
    { "9112 6.1", "MUST NOT", "no Transfer-Encoding to who does not speak HTTP/1.1", specs = {
        "spec/http/proxy_spec.lua: ends with the connection for a client of HTTP/1.0" } },
    { "9112 6.3", "MUST", "a length beside Transfer-Encoding is not passed on", specs = {
        "spec/http/letter_gateway_spec.lua: drops a length beside Transfer-Encoding, or the answer" } },
    { "9112 6.3", "MUST", "an answer with a malformed length is dropped with its connection: 502", specs = {
        "spec/http/letter_gateway_spec.lua: has no answer with a malformed length" } },
    { "9112 6.3", "MUST", "a body that ends before its length is incomplete", specs = {
        "spec/http/proxy_spec.lua: is cut, not shortened, when the upstream fails in the middle" } },
    { "9112 6.3", "ought", "a body without length and chunks ends with its connection", specs = {
        "spec/http/letter_gateway_spec.lua: reads an answer to its end when neither length nor chunks" } },
    { "9112 6.3", "SHOULD", "a request whose length is known has it, rather than chunks", specs = {
        "spec/http/proxy_spec.lua: is streamed when it is large, with its length when that is known" } },
    { "9112 6.3", "MUST NOT", "what comes behind an answer is no other answer", specs = {
        "spec/http/client_wire_spec.lua: says a second answer later does not have it taken for the next" } },
    { "9112 7.1.2", "MUST NOT", "trailers are not merged into the head", specs = {
        "spec/http/proxy_spec.lua: loses the fields that are for one hop alone" } },
    { "9112 8", "MUST", "an incomplete answer is told from a whole one", specs = {
        "spec/http/proxy_spec.lua: is cut, not shortened, when the upstream fails in the middle" } },
    { "9112 9.2", "MUST", "each answer belongs to the first request that has none", specs = {
        "spec/http/client_wire_spec.lua: answers before it was asked is heard once" } },
    { "9112 9.2", "MUST NOT", "what comes unasked is no answer", specs = {
        "spec/http/client_pool_spec.lua: is dropped when the server has said something unasked meanwhile" } },
    { "9112 9.2", "SHOULD", "and its connection is closed", specs = {
        "spec/http/client_pool_spec.lua: is dropped when the server has said something unasked meanwhile" } },
    { "9112 9.3", "MUST", "a connection is used again only when all of the answer was read", specs = {
        "spec/http/client_pool_spec.lua: takes what it asked for with it when its client leaves",
        "spec/http/client_wire_spec.lua: ends its connection at once" } },
    { "9112 9.5", "SHOULD", "an answer that refuses the body is noticed while it is sent, and the body ends", specs = {
        "spec/http/client_upload_spec.lua: that refuses it is there at once, and nobody asks for the rest" } },
    { "9112 9.6", "MUST", "after an answer with close nothing is asked on that connection, and it is closed", specs = {
        "spec/http/letter_gateway_spec.lua: does not ask a server again that has said close" } },
    { "9110 3.3", "MUST NOT", "two requests of one connection are not taken for those of one user", specs = {
        "spec/apps/requests_spec.lua: has the parts of this request, not of one before on the same route" } },
    { "9110 5.1", "MUST", "fields that are not known are passed on", specs = {
        "spec/http/letter_gateway_spec.lua: keeps the order of fields of one name, and fields that nobody knows" } },
    { "9110 5.3", "MUST NOT", "fields of one name keep their order", specs = {
        "spec/http/letter_gateway_spec.lua: keeps the order of fields of one name, and fields that nobody knows" } },
    { "9110 6.6.1", "MUST", "an answer without Date gets one", specs = {
        "spec/http/letter_gateway_spec.lua: gives a Date to an answer that has none" } },
    { "9110 7.6", "MUST", "fields for one connection are not passed on", specs = {
        "spec/http/proxy_spec.lua: loses the fields that are for one hop alone" } },
    { "9110 7.6", "MUST NOT", "no request goes to the gateway itself for ever", specs = {
        "spec/http/letter_gateway_spec.lua: is not asked for ever by a request that comes back to it" } },
    { "9110 7.6.1", "MUST", "Connection is read, and what it names is dropped with it", specs = {
        "spec/http/proxy_spec.lua: loses the fields that are for one hop alone" } },
    { "9110 7.6.1", "SHOULD", "Proxy-Connection, Keep-Alive, TE, Transfer-Encoding and Upgrade are dropped in any case",
        specs = { "spec/http/proxy_spec.lua: loses the fields that are for one hop alone",
            "spec/http/proxy_upstreams_spec.lua: stays behind where it is not wanted, and for h2c" } },
    { "9110 7.6.2", "MUST", "Max-Forwards of OPTIONS is counted down, and at zero the request ends", specs = {
        "spec/http/letter_gateway_spec.lua: counts Max-Forwards of OPTIONS down, and answers at zero" } },
    { "9110 7.6.2", "MUST NOT", "at zero it is not passed on", specs = {
        "spec/http/letter_gateway_spec.lua: counts Max-Forwards of OPTIONS down, and answers at zero" } },
    { "9110 7.6.3", "MUST", "what is passed on has Via, with the version in which it came", specs = {
        "spec/http/proxy_spec.lua: says who asked, and by whom it came",
        "spec/http/letter_gateway_spec.lua: says in Via in which version the request came" } },
    { "9110 7.6.3", "SHOULD NOT", "Via names no host within a firewall", specs = {
        "spec/http/proxy_spec.lua: says who asked, and by whom it came" } },
    { "9110 7.6.3", "MUST NOT", "elements of Via are not put together", specs = {
        "spec/http/letter_gateway_spec.lua: says in Via in which version the request came" } },
    { "9110 7.7", "MUST NOT", "path and query are not changed, but for the prefix that an option takes off", specs = {
        "spec/http/proxy_spec.lua: goes on with its method, path, query and body",
        "spec/http/proxy_spec.lua: loses its prefix however that is encoded, and nothing else" } },
    { "9110 7.7", "MUST NOT", "content is not changed", specs = { "spec/http/proxy_spec.lua: is not decoded" } },
    { "9110 7.7", "SHOULD NOT", "fields that tell of both ends and of what is sent are not changed", specs = {
        "spec/http/letter_gateway_spec.lua: leaves what the server behind says of itself" } },
    { "9110 8.6", "MUST NOT", "no length is passed on that is wrong or malformed", specs = {
        "spec/http/letter_gateway_spec.lua: has no answer with a malformed length" } },
    { "9110 9.2.2", "MUST NOT", "nothing is sent twice that is not idempotent", specs = {
        "spec/http/proxy_upstreams_spec.lua: take over an idempotent request that another has seen, and no other one",
        "spec/http/client_pool_spec.lua: is not when it is not, though the server may have done it" } },
    { "9110 9.2.2", "SHOULD NOT", "what has failed twice is not sent a third time", specs = {
        "spec/http/client_pool_spec.lua: is given up when the new one is closed as well" } },
    { "9110 9.3.7", "MUST NOT", "no Max-Forwards is made up", specs = {
        "spec/http/letter_gateway_spec.lua: counts Max-Forwards of OPTIONS down, and answers at zero" } },
    { "9110 10.1.1", "MUST", "a request with 100-continue gets 100, a final answer, or is passed on", specs = {
        "spec/http/proxy_spec.lua: gets its 100 Continue from here, once somebody wants the body" } },
    { "9110 10.1.3", "SHOULD NOT", "Referer is not changed", specs = {
        "spec/http/letter_gateway_spec.lua: passes conditions, ranges and credentials on as they are" } },
    { "9110 10.1.4", "MUST", "no TE is sent without its connection option", specs = {
        "spec/http/proxy_spec.lua: loses the fields that are for one hop alone" } },
    { "9110 10.2.1", "MUST NOT", "Allow is not changed", specs = {
        "spec/http/letter_gateway_spec.lua: leaves what the server behind says of itself" } },
    { "9110 11.6.1", "MUST NOT", "WWW-Authenticate is not changed", specs = {
        "spec/http/letter_gateway_spec.lua: leaves what the server behind says of itself" } },
    { "9110 11.6.2", "MUST NOT", "Authorization is not changed", specs = {
        "spec/http/letter_gateway_spec.lua: passes conditions, ranges and credentials on as they are" } },
    { "9110 12.5.5", "MUST NOT", "no * is added to Vary", specs = {
        "spec/http/letter_gateway_spec.lua: leaves what the server behind says of itself" } },
    { "9110 13.2.1", "MUST NOT", "conditions are not looked at", specs = {
        "spec/http/letter_gateway_spec.lua: passes conditions, ranges and credentials on as they are" } },
    { "9110 13.2.1", "MUST", "conditions are passed on", specs = {
        "spec/http/letter_gateway_spec.lua: passes conditions, ranges and credentials on as they are" } },
    { "9110 14.4", "SHOULD", "a 206 in a unit that is not known is passed on", specs = {
        "spec/http/letter_gateway_spec.lua: passes parts on as they are" } },
    { "9110 15", "MUST", "a status that is not known counts as the first of its class", specs = {
        "spec/http/letter_gateway_spec.lua: takes a status that is none for a bad answer" } },
    { "9110 15", "SHOULD", "a status beyond 599 is an error of the server", specs = {
        "spec/http/letter_gateway_spec.lua: takes a status that is none for a bad answer" } },
    { "9110 15.2", "MUST", "1xx that nobody asked for are read over", specs = {
        "spec/http/proxy_spec.lua: passes 103 on, and nothing of 100" } },
    { "9110 15.2", "MUST", "1xx are passed on, but for those that the gateway has asked for", specs = {
        "spec/http/proxy_spec.lua: passes 103 on, and nothing of 100" } },
    { "9110 15.4.5", "SHOULD", "304 is passed on to who has asked with a condition", specs = {
        "spec/http/proxy_spec.lua: has no body for HEAD, 204 and 304" } },
}
