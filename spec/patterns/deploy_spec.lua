local examples = require("spec.support.examples")
local options = require("moonloop.cli.options")
local process = require("spec.support.process")
local server = require("spec.support.server")

-- The settings of gunicorn, by name, with a value that it would take. Functions are its server hooks.
local GUNICORN = [[
    accesslog = "access.log", access_log_format = "%(h)s", backlog = 2048, bind = "127.0.0.1:0", ca_certs = "ca.pem",
    capture_output = true, casefold_http_method = true, cert_reqs = 0, chdir = ".", check_config = true,
    child_exit = print, ciphers = "HIGH", config = "x.py", daemon = false, default_proc_name = "gunicorn",
    disable_redirect_access_to_syslog = true, do_handshake_on_connect = true, dogstatsd_tags = "a:b",
    enable_stdio_inheritance = true, errorlog = "-", forwarded_allow_ips = "127.0.0.1,10.0.0.1",
    forwarder_headers = "SCRIPT_NAME", graceful_timeout = 20, header_map = "drop", initgroups = true,
    keepalive = 2, limit_request_field_size = 8190, limit_request_fields = 100, limit_request_line = 4094,
    logconfig = "log.conf", logconfig_dict = {}, logconfig_json = "log.json", logger_class = "x.Logger",
    loglevel = "info", max_requests = 1000, max_requests_jitter = 50, nworkers_changed = print, on_exit = print,
    on_reload = print, on_starting = print, paste = "x.ini", permit_obsolete_folding = true,
    permit_unconventional_http_method = true, permit_unconventional_http_version = true, pidfile = "the.pid",
    post_fork = print, post_request = print, post_worker_init = print, pre_exec = print, pre_fork = print,
    pre_request = print, preload_app = true, print_config = true, proc_name = "app", proxy_allow_ips = "127.0.0.1",
    proxy_protocol = "off", pythonpath = "/x", raw_env = "A=1", raw_paste_global_conf = "a=b", reload = true,
    reload_engine = "auto", reload_extra_files = "x", reuse_port = true, secure_scheme_headers = {},
    sendfile = true, spew = true, ssl_context = print, ssl_version = 2, statsd_host = "localhost:8125",
    statsd_prefix = "x", strip_header_spaces = true, suppress_ragged_eofs = true, syslog = true,
    syslog_addr = "udp://localhost:514", syslog_facility = "user", syslog_prefix = "x", threads = 2, timeout = 30,
    tmp_upload_dir = "/tmp", umask = "022", when_ready = print, worker_abort = print, worker_class = "gevent",
    worker_connections = 1000, worker_exit = print, worker_int = print, worker_tmp_dir = "/dev/shm", workers = 2,
    wsgi_app = "run:app",
]]

local function started(given)
    given.apps = examples.texts({ "hello.lua" })
    return server.start(given)
end

local function wait_access_log(site)
    process.wait_for("a line in access.log", function()
        return (process.read(site.dir .. "/access.log") or ""):find('"GET /hello/ HTTP/1.1" 200 ', 1, true)
    end)
end

describe("a deployment that comes from gunicorn", function()
    after_each(server.clean)

    it("keeps its configuration file's names: each has its effect or is explained at start-up", function()
        local site = started({ config = "return {\n" .. GUNICORN .. "}\n", options = {}, bind = false })
        assert.equal("Hello, world!\n", site:get("/hello/").body)
        local log, ignored, kept = site:log(), 0, 0
        for name in GUNICORN:gmatch("([%l_]+) = ") do
            local is_explained = log:find(": " .. name .. " is ignored: ", 1, true) ~= nil
            assert.equal(options.by_name[name] == nil, is_explained, name)
            ignored, kept = ignored + (is_explained and 1 or 0), kept + (is_explained and 0 or 1)
        end
        assert.is_true(ignored > 40 and kept > 15, ignored .. " and " .. kept)
        assert.equal(2, #site:worker_pids())
        assert.equal(site:pid(), tonumber((process.read(site.dir .. "/the.pid"))))
        wait_access_log(site)
    end)

    it("keeps its command line, the application's name excepted", function()
        local site = started({ bind = false, options = {
            "--workers=2", "--bind=127.0.0.1:0", "-k", "gevent", "--worker-connections", "1000", "--timeout", "20",
            "--graceful-timeout", "5", "--keep-alive", "5", "--max-requests", "100", "--max-requests-jitter", "10",
            "--access-logfile", "access.log", "--error-logfile", "-", "--log-level", "debug", "--pid", "the.pid",
            "--forwarded-allow-ips", "10.0.0.1", "--limit-request-line", "4094", "--preload", "--threads", "2",
        } })
        assert.equal(200, site:get("/hello/").status)
        assert.matches("%-%-worker%-class is ignored: ", site:log())
        assert.matches("%-%-worker%-connections is ignored: max_connections", site:log())
        assert.equal(2, #site:worker_pids())
        assert.equal(site:pid(), tonumber((process.read(site.dir .. "/the.pid"))))
        wait_access_log(site)
    end)

    it("finds moonloop.conf.lua.example right as it stands", function()
        local text = examples.read("moonloop.conf.lua.example")
        local site = started({ config = text, options = {}, bind = "127.0.0.1:0" })
        assert.equal(4, #site:worker_pids())
        assert.equal("Hello, world!\n", site:get("/hello/").body)
        wait_access_log(site)
        for name in text:gmatch("\n    ([%l_]+) =") do
            assert.truthy(options.by_name[name], name)
        end
    end)
end)
