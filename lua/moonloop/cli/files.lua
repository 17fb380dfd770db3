--- The few questions about files that the command line has, by FFI: Lua's own library has no directories.

local ffi = require("ffi")

ffi.cdef([[
typedef struct moonloop_dir moonloop_dir;
moonloop_dir *opendir(const char *path);
int closedir(moonloop_dir *dir);
struct moonloop_dirent {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[256];
};
struct moonloop_dirent *readdir(moonloop_dir *dir);
char *realpath(const char *path, char *resolved);
char *getcwd(char *path, size_t bytes);
int access(const char *path, int mode);
int mkdir(const char *path, unsigned int mode);
int isatty(int fd);
void free(void *block);
char *strerror(int code);
extern char **environ;
]])

local C = ffi.C
local M = {}

---@return string absolute
function M.working_directory()
    local path = ffi.new("char[4096]")
    return C.getcwd(path, 4096) ~= nil and ffi.string(path) or "/"
end

---The binary that runs.
---@return string absolute
function M.own_binary()
    local path = ffi.new("char[4096]")
    return C.realpath("/proc/self/exe", path) ~= nil and ffi.string(path) or "/usr/local/bin/moonloop"
end

---`path` made absolute and tidy ("a/./b/../c" is "a/c"), whether it exists or not. Links are not followed.
---@param path string
---@param base? string absolute; default: the working directory
---@return string
function M.absolute(path, base)
    if path:sub(1, 1) ~= "/" then
        path = (base or M.working_directory()) .. "/" .. path
    end
    local parts = {}
    for part in path:gmatch("[^/]+") do
        if part == ".." then
            parts[#parts] = nil
        elseif part ~= "." then
            parts[#parts + 1] = part
        end
    end
    return "/" .. table.concat(parts, "/")
end

---@param path string
---@return boolean
function M.exists(path)
    return C.access(path, 0) == 0
end

---@param path string
---@return boolean is_there and can be read
---@return string? reason "No such file or directory", "Not a directory", "Permission denied" and the like
function M.is_directory(path)
    local dir = C.opendir(path)
    if dir == nil then
        return false, ffi.string(C.strerror(ffi.errno()))
    end
    C.closedir(dir)
    return true
end

---@param path string
---@return string[] names sorted, without "." and ".."; empty for what is no directory
function M.list(path)
    local names = {}
    local dir = C.opendir(path)
    if dir == nil then
        return names
    end
    local entry = C.readdir(dir)
    while entry ~= nil do
        local name = ffi.string(entry.name)
        if name ~= "." and name ~= ".." then
            names[#names + 1] = name
        end
        entry = C.readdir(dir)
    end
    C.closedir(dir)
    table.sort(names)
    return names
end

---All files below `path` whose names end in `suffix`; hidden ones and editors' leftovers are not among them.
---@param path string
---@param suffix string
---@return string[] paths `path` and what follows
function M.walk(path, suffix, found)
    found = found or {}
    for _, name in ipairs(M.list(path)) do
        local full = path .. "/" .. name
        local is_ours = not name:match("^[%.#]") and not name:match("~$")
        if is_ours and M.is_directory(full) then
            M.walk(full, suffix, found)
        elseif is_ours and name:sub(-#suffix) == suffix then
            found[#found + 1] = full
        end
    end
    return found
end

---@param path string
---@return string? bytes
---@return string? reason
function M.read(path)
    local file, reason = io.open(path, "rb")
    if not file then
        return nil, reason
    end
    local bytes
    bytes, reason = file:read("*a")
    file:close()
    return bytes, reason
end

---Makes the directory and those above it. Raises what the system says.
---@param path string
function M.make_directory(path)
    if M.is_directory(path) then
        return
    end
    local parent = path:match("^(.+)/[^/]+$")
    if parent then
        M.make_directory(parent)
    end
    if C.mkdir(path, 511) ~= 0 then
        error(path .. ": " .. ffi.string(C.strerror(ffi.errno())), 0)
    end
end

---@param fd integer
---@return boolean
function M.is_terminal(fd)
    return C.isatty(fd) == 1
end

---@return table<string, string>
function M.environment()
    local variables = {}
    local i = 0
    while C.environ[i] ~= nil do
        local name, value = ffi.string(C.environ[i]):match("^([^=]+)=(.*)$")
        if name then
            variables[name] = value
        end
        i = i + 1
    end
    return variables
end

return M
