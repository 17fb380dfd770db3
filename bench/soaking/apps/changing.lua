local app = require("moonloop").app()
app:get("/", function() return "version 0\n" end)
return app
