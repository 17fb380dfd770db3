--- Domains below which anybody can register: "com", "co.uk", "github.io". No cookie is for all of one.
--- The list is that of libpsl, loaded at the first question. Where it is not installed, only names of one label count.

local ffi = require("ffi")

ffi.cdef([[
    typedef struct psl_ctx_st psl_ctx_t;
    const psl_ctx_t *psl_builtin(void);
    int psl_is_public_suffix(const psl_ctx_t *psl, const char *domain);
]])

local M = {}

local library, list

local function load()
    local ok, loaded = pcall(ffi.load, "libpsl.so.5")
    library = ok and loaded or false
    list = library and library.psl_builtin() or nil
end

---@param domain string lower case, without a dot in front
---@return boolean
function M.is(domain)
    if library == nil then
        load()
    end
    if not domain:find("%.[^.]") then
        return true
    end
    return list ~= nil and library.psl_is_public_suffix(list, domain) == 1
end

return M
