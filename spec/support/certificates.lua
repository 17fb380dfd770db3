--- Certificates for specs, made with the openssl command: a private authority and what it signs.

local command = require("spec.support.command")

local M = {}

local function openssl(directory, words)
    local result = command.run({ "openssl", unpack(words) }, { cwd = directory })
    assert(result.code == 0, result.err)
end

local NEW_KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

local function with_key(...)
    local words = { ... }
    for _, word in ipairs(NEW_KEY) do
        words[#words + 1] = word
    end
    return words
end

local function append(list, ...)
    for _, word in ipairs({ ... }) do
        list[#list + 1] = word
    end
    return list
end

---A directory with ca.pem.
---@return string directory remove it with command.remove
function M.authority()
    local directory = command.directory()
    openssl(directory, append(with_key("req", "-x509"), "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=spec CA",
        "-days", "2"))
    return directory
end

---A certificate signed by the authority, or by itself.
---@param directory string of the authority
---@param name string of the files
---@param alternatives string "DNS:localhost,IP:127.0.0.1"
---@param options? { days?: integer, is_self_signed?: boolean } days -1: expired
---@return string certificate path
---@return string key path
function M.issue(directory, name, alternatives, options)
    options = options or {}
    local certificate, key = name .. ".pem", name .. ".key"
    if options.is_self_signed then
        openssl(directory, append(with_key("req", "-x509"), "-keyout", key, "-out", certificate,
            "-subj", "/CN=" .. name, "-addext", "subjectAltName=" .. alternatives, "-days", "2"))
    else
        command.write(directory .. "/" .. name .. ".ext", "subjectAltName=" .. alternatives)
        openssl(directory, append(with_key("req"), "-keyout", key, "-out", name .. ".csr", "-subj", "/CN=" .. name))
        openssl(directory, { "x509", "-req", "-in", name .. ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", tostring(options.days or 2), "-extfile", name .. ".ext", "-out", certificate })
    end
    return directory .. "/" .. certificate, directory .. "/" .. key
end

return M
