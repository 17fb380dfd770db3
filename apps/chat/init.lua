--- A room in a page: WebSockets for those who talk, an event stream for those who watch, one topic between all workers.
---
---     open http://127.0.0.1:8080/chat/ in two windows
---     curl -N localhost:8080/chat/watch

local moonloop = require("moonloop")
local page = require("page")

local app = moonloop.app()
local room = moonloop.topic("chat")

app:get("/", function(_, res)
    return res:html(page)
end)

app:ws("/socket", { max_message = 4096, compress = true }, function(ws, req)
    local name = req.query.name or "somebody"
    moonloop.spawn(function() -- what the others say; ends with the handler
        for message in room:subscribe() do
            ws:send(message)
        end
    end)
    ws:on_draining(function()
        ws:send("* new code: coming back in a moment")
    end)
    moonloop.sleep(0) -- subscribed before anybody hears of it
    room:publish(("* %s came"):format(name))
    for message in ws:messages() do
        room:publish(("%s: %s"):format(name, message))
    end
    room:publish(("* %s left"):format(name))
end)

app:sse("/watch", function(stream)
    for message in room:subscribe() do
        stream:send({ data = message })
    end
end)

app:get("/say/{text}", function(req)
    room:publish("curl: " .. req.params.text)
    return "said\n"
end)

return app
