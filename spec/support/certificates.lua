--- Certificates for specs, made with the openssl command: a private authority and what it signs.

local command = require("spec.support.command")

local M = {}

local function openssl(directory, words)
    local result = command.run({ "openssl", unpack(words) }, { cwd = directory })
    assert(result.code == 0, result.err)
end

local function new_key(kind)
    if kind then
        return { "-newkey", kind, "-nodes" }
    end
    return { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }
end

local function append(list, ...)
    for _, word in ipairs({ ... }) do
        list[#list + 1] = word
    end
    return list
end

local function with_key(kind, ...)
    local words = { ... }
    return append(words, unpack(new_key(kind)))
end

local CA = [[
[ca]
default_ca = it
[it]
database = ./%s.index
serial = ./%s.serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
]]

---A directory with ca.pem.
---@return string directory remove it with command.remove
function M.authority()
    local directory = command.directory()
    openssl(directory, append(with_key(nil, "req", "-x509"), "-keyout", "ca.key", "-out", "ca.pem", "-subj",
        "/CN=spec CA", "-days", "2"))
    return directory
end

--- With dates of its own, which the x509 command cannot give.
local function sign_with_dates(directory, name, issuer, dates)
    command.write(directory .. "/" .. name .. ".cnf", CA:format(name, name))
    command.write(directory .. "/" .. name .. ".index", "")
    command.write(directory .. "/" .. name .. ".serial", "77")
    openssl(directory, { "ca", "-batch", "-notext", "-config", name .. ".cnf", "-cert", issuer .. ".pem", "-keyfile",
        issuer .. ".key", "-startdate", dates[1], "-enddate", dates[2], "-extfile", name .. ".ext", "-in",
        name .. ".csr", "-out", name .. ".pem" })
end

---@class spec.CertificateOptions
---@field dates? string[] first and last, "20200101000000Z"
---@field is_self_signed? boolean
---@field key? string "rsa:1024"; an elliptic curve
---@field is_authority? boolean may sign others
---@field issuer? string the name of one that may; the authority

---A certificate signed by the authority, or by itself.
---@param directory string of the authority
---@param name string of the files
---@param alternatives? string "DNS:localhost,IP:127.0.0.1"
---@param options? spec.CertificateOptions
---@return string certificate path
---@return string key path
function M.issue(directory, name, alternatives, options)
    options = options or {}
    local certificate, key, issuer = name .. ".pem", name .. ".key", options.issuer or "ca"
    local extensions = (alternatives and "subjectAltName=" .. alternatives .. "\n" or "")
        .. (options.is_authority and "basicConstraints=critical,CA:true\n" or "")
    command.write(directory .. "/" .. name .. ".ext", extensions)
    if options.is_self_signed then
        openssl(directory, append(with_key(options.key, "req", "-x509"), "-keyout", key, "-out", certificate,
            "-subj", "/CN=" .. name, "-addext", "subjectAltName=" .. alternatives, "-days", "2"))
        return directory .. "/" .. certificate, directory .. "/" .. key
    end
    openssl(directory, append(with_key(options.key, "req"), "-keyout", key, "-out", name .. ".csr", "-subj",
        "/CN=" .. name))
    if options.dates then
        sign_with_dates(directory, name, issuer, options.dates)
    else
        openssl(directory, { "x509", "-req", "-in", name .. ".csr", "-CA", issuer .. ".pem", "-CAkey",
            issuer .. ".key", "-CAcreateserial", "-days", "2", "-extfile", name .. ".ext", "-out", certificate })
    end
    return directory .. "/" .. certificate, directory .. "/" .. key
end

---A port that nobody listens on now, for servers that cannot pick one.
---@return integer
function M.free_port()
    local listener = assert(require("socket").bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    listener:close()
    return tonumber(port)
end

---One file with what the others hold, in order.
---@param directory string
---@param name string of the new file, with its ending
---@param ... string names of files, with their endings
---@return string path
function M.join(directory, name, ...)
    local parts = {}
    for i, each in ipairs({ ... }) do
        parts[i] = command.read(directory .. "/" .. each)
    end
    command.write(directory .. "/" .. name, table.concat(parts))
    return directory .. "/" .. name
end

return M
