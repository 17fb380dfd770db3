-- Lint rules for all Lua of this repository; `./moonloop test` runs luacheck with them.
std = "luajit"
max_line_length = 120
max_string_line_length = false
unused_args = false
codes = true
cache = false
ignore = { "581" } -- `not (x >= 0)` is also true for NaN
exclude_files = { "spec/corpus/**", "build*/**", "bench/load/tmp/**", "bench/peers/**" }

files["spec/"] = { std = "+busted", read_globals = { table = { fields = { "pack" } } } }
files["lua/moonloop/coroutines.lua"] = { globals = { coroutine = { fields = { "resume", "wrap" } } } }
files["lua/moonloop/guard.lua"] = { globals = { debug = { fields = { "sethook" } }, jit = { other_fields = true } } }
