---@meta moonloop.core.testing
--- The C half of moonloop.testing (core/script/lib_testing.c).

local core = {}

---Loads the apps of options.apps_dir and serves them inside this process. Raises when nothing can be loaded.
---@param options table as moonloop.cli.config settles them
---@return userdata host
---@return string failures of apps that do not load; "" when all do
function core.open(options) end

---A pool whose connections go to the host, for moonloop.http. Keep the host for as long.
---@param host userdata
---@return userdata
function core.pool(host) end

---@param host userdata
function core.close(host) end

return core
