---@meta moonloop.core.tls
--- What `moonloop check` asks about certificates (core/script/lib_tls.c). Raises nothing.

local core = {}

---Reads certificates and keys as the server would.
---@param certfiles string[] paths
---@param keyfiles string[] as many, or none
---@param ca_certs? string path
---@return string? reason why they cannot be used
function core.check(certfiles, keyfiles, ca_certs) end

return core
