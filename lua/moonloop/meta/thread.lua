---@meta moonloop.core.thread
--- What an offload thread knows of where its jobs come from; there only.

local thread = {}

---@param number integer
---@return string bytes what moonloop.core.offload.put was given
function thread.blob(number) end

---@param app string
---@param name string
---@return string? bytes of the file as the app sees it in the caller's generation
function thread.file(app, name) end

---@return string[] names of the files in the apps directory
function thread.files() end

---Does nothing: the loop's side tells the watcher.
---@param path string
function thread.add_file(path) end

---@return string? path absolute; nil outside of a server
function thread.apps_dir() end

---@return boolean cancelled whether the caller of the running job has stopped waiting
function thread.is_cancelled() end

---@return boolean heard whether the caller of the running job wants what is posted
function thread.is_heard() end

---Sends a message ahead of the running job's end.
---@param message string
---@param parts string[]?
function thread.post(message, parts) end

return thread
