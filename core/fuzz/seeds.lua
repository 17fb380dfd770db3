--- Writes the cases of spec/http/letter as files, for a fuzzer to begin with.
---     build/moonloop run core/fuzz/seeds.lua DIRECTORY

local directory = assert(arg[1], "which directory?")
local names = io.popen("ls spec/http/letter/*.lua")
local count = 0
for path in names:lines() do
    for _, case in ipairs(dofile(path)) do
        if case.request and #case.request <= 4096 then -- one of the files lists requirements
            count = count + 1
            local file = assert(io.open(("%s/letter-%03d"):format(directory, count), "wb"))
            file:write(case.request)
            file:close()
        end
    end
end
names:close()
print(count .. " seeds")
