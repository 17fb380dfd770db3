-- Lint rules for all Lua of this repository; `./moonloop test` runs luacheck with them.
std = "luajit"
max_line_length = 120
unused_args = false
codes = true
cache = false
exclude_files = { "spec/corpus/**", "build*/**", "bench/load/tmp/**", "bench/peers/**" }

files["spec/"] = { std = "+busted" }
