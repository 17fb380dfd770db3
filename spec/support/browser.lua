--- A real browser for specs: headless Chromium loads a page, runs its scripts, and gives what became of it.

local process = require("spec.support.process")

local M = {}

local FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    .. " --disable-component-update --disable-sync --virtual-time-budget=10000"

---The page as HTML once its scripts have nothing more to do.
---@param url string
---@return string html
function M.dom(url)
    local profile = process.directory()
    local page = assert(io.popen(("timeout 60 chromium %s --user-data-dir='%s' --dump-dom '%s' 2>/dev/null"):format(
        FLAGS, profile, url)))
    local html = page:read("*a")
    page:close()
    assert(#html > 0, "chromium gave nothing for " .. url)
    return html
end

return M
