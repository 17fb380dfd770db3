--- The handlers of limit-lua: what a user of any Lua server would write for each work, and no more.
--- `uv_lua.c` looks one up by name and calls it once per request with strings that it cut out itself.

local cjson = require("cjson")

local encode, decode = cjson.encode, cjson.decode

local works = {}

function works.hello()
    return "Hello, world!\n"
end

function works.json()
    return encode({ message = "Hello, World!" })
end

function works.params(id, slug, q, client)
    return encode({ id = tonumber(id), slug = slug, q = q, client = client })
end

function works.post(body)
    return encode(decode(body))
end

function works.sleep(wait)
    wait()
    return "Hello, world!\n"
end

return works
