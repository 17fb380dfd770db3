--- The time zones of this machine, by name: read from the system's tzdata when one is first asked for, and kept.
--- Debian's package is tzdata.

local suggest = require("moonloop.cli.suggest")
local zone = require("moonloop.util.zone")

local M = {}

local zones = {} -- by name

local function directory()
    return os.getenv("TZDIR") or "/usr/share/zoneinfo"
end

local function read_file(path)
    local file = io.open(path, "rb")
    local bytes = file and file:read("*a") -- nil for a directory
    if file then
        file:close()
    end
    return bytes
end

local function load_file(name, path)
    local bytes = read_file(path)
    if not bytes then
        return nil
    end
    local ok, made = pcall(zone.parse, name, bytes)
    if not ok then
        error(("the zone %q cannot be read from %s: %s"):format(name, path, made), 0)
    end
    return made
end

---Names of zones, for suggestions; empty when the list is not installed.
local function known_names()
    local names = {}
    for line in (read_file(directory() .. "/tzdata.zi") or ""):gmatch("[^\n]+") do
        names[#names + 1] = line:match("^Z (%S+)") or line:match("^L %S+ (%S+)")
    end
    return names
end

local function hint(name)
    if not read_file(directory() .. "/Etc/UTC") then
        return ("; there is no %s: install the package tzdata"):format(directory())
    end
    return suggest.hint(name, known_names())
end

---The zone of a name like "Europe/Berlin". Raises a string when there is none.
---@param name string
---@return moonloop.Zone
function M.load(name)
    if type(name) ~= "string" or not name:match("^%a[%w_+/-]*$") then
        error(("expected a name like \"Europe/Berlin\", got %s"):format(
            type(name) == "string" and ("%q"):format(name) or "a " .. type(name)), 0)
    end
    if not zones[name] then
        local made = (name == "UTC" or name == "GMT") and zone.from_rule(name .. "0")
            or load_file(name, directory() .. "/" .. name)
        if not made then
            error(("there is no time zone %q%s"):format(name, hint(name)), 0)
        end
        zones[name] = made
    end
    return zones[name]
end

local function load_from_environment(text)
    local name = text:gsub("^:", "")
    if name == "" then
        return M.load("UTC")
    elseif name:sub(1, 1) == "/" then
        return load_file(name, name)
    end
    local ok, made = pcall(M.load, name)
    if ok then
        return made
    end
    ok, made = pcall(zone.from_rule, name)
    return ok and made or nil
end

---The zone of this machine, as the C library finds it: by the variable TZ, else /etc/localtime, else UTC.
---@return moonloop.Zone
function M.machine()
    local text = os.getenv("TZ")
    if text then
        return load_from_environment(text) or M.load("UTC")
    end
    return load_file("localtime", "/etc/localtime") or M.load("UTC")
end

return M
