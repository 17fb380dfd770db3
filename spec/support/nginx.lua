--- nginx as the server behind a spec of the client or of a proxy: one worker, and a directory with all that it uses.

local assert = require("luassert")
local command = require("spec.support.command")

local M = {}

---@type boolean
M.is_there = command.run({ "sh", "-c", "command -v nginx" }).code == 0

---Starts it; returns when it listens. Everybody may read the directory then.
---@param directory string
---@param lines string of the block `http`; DIR in them is the directory. The socket of M.url is DIR/nginx.sock
---@param modules? string lines before everything else
function M.start(directory, lines, modules)
    command.write(directory .. "/nginx.conf", ((modules or "") .. [[
        daemon on; pid DIR/nginx.pid; error_log DIR/error.log; worker_processes 1;
        events { worker_connections 64; }
        http {
            access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy;
            fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    ]] .. lines .. "}\n"):gsub("DIR", directory))
    local result = command.run({ "sh", "-c", "chmod -R a+rX " .. directory .. "; nginx -p " .. directory
        .. " -c " .. directory .. "/nginx.conf" })
    assert.equal(0, result.code, result.err)
end

---@param directory string
---@return string url of its socket DIR/nginx.sock, as a base
function M.url(directory)
    return "http+unix://" .. (directory .. "/nginx.sock"):gsub("/", "%%2F")
end

---@param directory string of one that was started
function M.stop(directory)
    command.run({ "sh", "-c", "kill $(cat " .. directory .. "/nginx.pid)" })
end

return M
