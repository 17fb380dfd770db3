--- moonloop.process: other programs, without a shell unless asked for. `run` waits for the end and collects what
--- was written; `spawn` gives a handle to talk to. Neither leaves a process behind.
---
--- A process belongs to the scope (task, request) that started it: when that ends, its whole group is ended with
--- it, TERM first, KILL after `grace`. It dies with its worker, too, if that is killed.

local activity = require("moonloop.activity")
local core = require("moonloop.core.process")
local errors = require("moonloop.util.errors")
local handle = require("moonloop.process.handle")
local request = require("moonloop.process.request")
local task = require("moonloop.task")

---@class moonloop.process
local M = {}

---@class moonloop.process.Options
---@field stdin? string|file*|fun(): string? what it reads; for spawn also false: nothing. Nothing for run, and
---  p:write for spawn
---@field stdout? "capture"|"inherit"|"discard"|file* "capture"
---@field stderr? "capture"|"inherit"|"stdout"|"discard"|file* "capture"; "stdout": into the same
---@field timeout? number seconds from its start until it is ended, more than 0; none
---@field grace? number seconds between TERM and KILL, 0 to 3600; 2
---@field env? table<string, string|false> added to the worker's environment; false removes
---@field clean_env? boolean begin with an empty environment instead
---@field cwd? string directory to start in; the worker's
---@field shell? boolean|string true: the command is a string for /bin/sh -c; a path: for that shell
---@field check? boolean raise `failed` unless it exits with 0
---@field max_output? integer of run: bytes of stdout, and of stderr, that are collected at most; 64 MiB
---@field max_processes? integer how many may run at once on this loop, this one included; 100

---@class moonloop.process.Result
---@field status? integer exit code, nil when a signal ended it
---@field signal? string the name of that, "KILL"
---@field ok boolean exit code 0
---@field stdout? string of run, when it was captured
---@field stderr? string likewise
---@field duration number seconds
---@field timed_out boolean

-- Handles of C -> what moonloop ps shows; the collector takes those that are over.
local started = setmetatable({}, { __mode = "k" })

activity.register("process", function()
    local rows = {}
    for process, about in pairs(started) do
        local state, _, _, seconds = core.state(process)
        if state == "running" then
            rows[#rows + 1] = {
                kind = "process", name = about.name, state = state, since = os.time() - seconds,
                detail = "pid " .. about.pid,
            }
        end
    end
    return rows
end)

local function start(asked)
    local process, stage, errno = core.start(asked)
    if not process and not stage then
        errors.raise("full", "process: %d processes run already, as many as max_processes says", asked.max_processes)
    elseif not process then
        local code, message = core.start_reason(asked, stage, errno)
        errors.raise(code, "%s", "process: " .. message)
    end
    started[process] = { name = asked.argv[1], pid = core.pid(process) }
    return process
end

local function taken(process, asked)
    return asked.stdout == "pipe" and core.take(process, 1) or nil,
        asked.stderr == "pipe" and core.take(process, 2) or nil
end

-- A wait that ended early: with what was written so far, and with the scope's own error as the cause.
local function give_up(process, asked, err)
    local out, complaints = taken(process, asked)
    core.let_go(process)
    if not errors.is(err) then
        error(err, 0)
    end
    error(errors.new(err.code, ("%s, while %s ran"):format(err.message, asked.argv[1]), {
        stdout = out, stderr = complaints, timed_out = err.code == "timeout", cause = err,
    }), 0)
end

local function collect(process, asked)
    local ok, status, signal, seconds, has_timed_out, excess = core.wait(process, true)
    if not ok then
        give_up(process, asked, status)
    end
    local result = handle.result(status, signal, seconds, has_timed_out)
    result.stdout, result.stderr = taken(process, asked)
    handle.judge(result, asked, excess)
    return result
end

-- Nobody reads any more: as with a shell's pipes, that is no failure. The feeder's own errors are.
local function feed(process, chunks)
    for chunk in chunks do
        if type(chunk) ~= "string" then
            error("process: option stdin: the iterator gave a " .. type(chunk) .. ", not a string", 0)
        end
        local ok, err = core.write(process, chunk)
        if not ok and errors.is(err, "closed") then
            return
        elseif not ok then
            error(err, 0)
        end
    end
    core.close_input(process)
end

---Runs a program to its end, feeding and reading it at once, and collects what it writes. Everyone else is served
---meanwhile. What is left of its process group then is killed: at once, or half a second after its end when an
---output is still open.
---Raises `timeout` (its own or the scope's), `cancelled`, `too_large` (an output exceeds `max_output`) and `failed`
---(with `check`), all with `stdout` and `stderr` so far; `not_found`, `permission`, `not_executable` and `system` when
---it cannot be started, `full` when too many run already.
---@param argv string[]|string the program and its arguments; a string with `shell` alone
---@param options? moonloop.process.Options
---@return moonloop.process.Result
function M.run(argv, options)
    local asked, input = request.new("process.run", argv, options)
    if type(input) ~= "function" then
        local process = start(asked)
        if input then
            core.feed(process, input)
        end
        return collect(process, asked)
    end
    return task.scope(function(scope)
        local process = start(asked)
        local feeder = scope:spawn("stdin of " .. asked.argv[1], feed, process, input)
        local result = collect(process, asked)
        feeder:cancel("the process has ended")
        return result
    end)
end

---Starts a program and returns at once. It ends with the scope in which it was started. Raises what cannot be
---started, as `run`.
---@param argv string[]|string
---@param options? moonloop.process.Options
---@return moonloop.Process
function M.spawn(argv, options)
    local asked, input = request.new("process.spawn", argv, options)
    local process = start(asked)
    if type(input) == "string" then
        core.feed(process, input)
    elseif input then
        task.spawn("stdin of " .. asked.argv[1], feed, process, input)
    end
    return handle.new(process, asked)
end

return M
