---@meta moonloop.core.shared
--- The C half of moonloop.shared (core/script/lib_shared.c). Tables are bytes that Lua has encoded, with
--- `is_table`. A ttl is seconds, nil for ever, -1 as before. Raises `full`, `too_large`, `type`, `range`, `timeout`
--- and `system`.

local shared = {}

---@param name string
---@param key string
---@return any value nil: none
---@return boolean is_table
---@return number? left seconds; nil for ever
---@return lightuserdata? cell for dict_counter_get; nil: it is no counter
---@return number? serial
function shared.get(name, key) end

---@param name string
---@param prefix string
---@param limit integer
---@return string[]
function shared.keys(name, prefix, limit) end

---@param name string
---@param key string
---@param value boolean|number|string
---@param is_table boolean
---@param ttl number?
---@param is_pinned boolean never evicted
function shared.set(name, key, value, is_table, ttl, is_pinned) end

---@param name string
---@param key string
---@param value boolean|number|string
---@param is_table boolean
---@param ttl number?
---@param is_pinned boolean
---@return boolean is_added
function shared.add(name, key, value, is_table, ttl, is_pinned) end

---@param name string
---@param key string
---@param value nil|boolean|number|string
---@param is_table boolean
---@param ttl number?
---@param is_pinned boolean
---@param expected nil|boolean|number|string
---@param expects_table boolean
---@return boolean is_done
function shared.cas(name, key, value, is_table, ttl, is_pinned, expected, expects_table) end

---@param name string
---@param key string
---@param by number
---@param initial number
---@param ttl number?
---@param is_pinned boolean
---@return number sum
---@return lightuserdata? cell for dict_counter_add; nil: there is none
---@return number? serial
function shared.incr(name, key, by, initial, ttl, is_pinned) end

---@param name string
---@param key string
---@return boolean was_there
function shared.delete(name, key) end

---@param name string
---@param prefix string
function shared.clear(name, prefix) end

---@return moonloop.SharedStats
function shared.stats() end

function shared.sweep() end

---@return string path
function shared.path() end

---@param path string?
---@param size number bytes
---@param is_synced boolean
---@return boolean is_done
---@return string why
function shared.use(path, size, is_synced) end

---@param path string
function shared.join(path) end

return shared
