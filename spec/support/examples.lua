--- The examples in apps/ for specs: served by a real server, asked several at once.
---
---     local site = examples.serve({ "sleep.lua" })
---     local answers = examples.at_once(site, { "/sleep/", "/sleep/" })
---     assert(answers[2].seconds < 2)

local process = require("spec.support.process")
local server = require("spec.support.server")
local socket = require("socket")

local M = {}

---The checkout.
M.root = assert(debug.getinfo(1, "S").source:match("^@(.*)spec/support/examples%.lua$"))
if M.root == "" then
    M.root = "./"
end

---The text of a file of the checkout.
---@param path string
---@return string
function M.read(path)
    return assert(process.read(M.root .. path), path)
end

---The number of the first line of a file of the checkout that contains a text.
---@param path string
---@param text string plain
---@return integer
function M.line(path, text)
    local number = 0
    for line in M.read(path):gmatch("([^\n]*)\n") do
        number = number + 1
        if line:find(text, 1, true) then
            return number
        end
    end
    error(("%s has no line with %q"):format(path, text), 2)
end

local function add_folder(texts, folder)
    for name in require("posix.dirent").files(M.root .. "apps/" .. folder) do
        if name:match("^[^.].*%.lua$") then
            texts[folder .. name] = M.read("apps/" .. folder .. name)
        end
    end
end

---The apps of apps/ by the names of their files, or of their folders ("patterns/"), with all of apps/_lib.
---@param names string[]
---@return table<string, string>
function M.texts(names)
    local texts = {}
    add_folder(texts, "_lib/")
    for _, name in ipairs(names) do
        if name:sub(-1) == "/" then
            add_folder(texts, name)
        else
            texts[name] = M.read("apps/" .. name)
        end
    end
    return texts
end

---Starts a server of one worker with these examples; `given` as server.start takes it.
---@param names string[]
---@param given? table
---@return spec.Server
function M.serve(names, given)
    given = given or {}
    given.apps = M.texts(names)
    return server.start(given)
end

---@class spec.Answer: spec.Response
---@field target string
---@field seconds number from the asking of all to the end of this one

---Asks all targets at once, in their order, each on a connection of its own.
---@param site spec.Server
---@param targets string[]
---@return spec.Answer[] in the order in which they were answered
function M.at_once(site, targets)
    local sockets, of_socket, answers = {}, {}, {}
    for i, target in ipairs(targets) do
        local connection = site:connect()
        connection:set_timeout(60)
        sockets[i] = connection.socket
        of_socket[connection.socket] = { connection, target }
    end
    local began = socket.gettime()
    for _, made in ipairs(sockets) do
        local each = of_socket[made]
        assert(each[1]:send("GET " .. each[2] .. " HTTP/1.1\r\nHost: " .. site.host .. ":" .. site.port .. "\r\n\r\n"))
    end
    while #sockets > 0 do
        local ready = socket.select(sockets, nil, 60)
        assert(#ready > 0, "no answer")
        for _, each in ipairs(ready) do
            local connection, target = of_socket[each][1], of_socket[each][2]
            local answer = assert(connection:read_response())
            answer.target, answer.seconds = target, socket.gettime() - began
            answers[#answers + 1] = answer
            connection:close()
            for i = #sockets, 1, -1 do
                if sockets[i] == each then
                    table.remove(sockets, i)
                end
            end
        end
    end
    return answers
end

---@param target string
---@param count integer
---@return string[] the target so many times
function M.times(target, count)
    local targets = {}
    for i = 1, count do
        targets[i] = target
    end
    return targets
end

return M
