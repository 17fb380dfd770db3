---@meta moonloop.core.host
--- The C half of moonloop.host_ip (core/script/lib_host.c). Raises nothing.

local core = {}

---@return string address
function core.ip() end

return core
