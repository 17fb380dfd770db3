--- Options of gunicorn that have no use here. They are explained at start-up and otherwise ignored, so that
--- an existing deployment can be brought over line by line.

local same = "moonloop has one kind of worker: an event loop that runs each handler in a task of its own"
local app_hooks = "an app runs code at its start and end with app:on_start and app:on_stop"
local strict = "requests are read strictly, as RFC 9112 says"
local tls = "TLS is 1.2 and 1.3 with the ciphers that Mozilla recommends (intermediate)"

---@type table<string, string> name and why it has no use
local reasons = {
    access_log_format = "the access log has one fixed form; log_format chooses text or json",
    backlog = "the accept queue has the length that the kernel allows (net.core.somaxconn)",
    capture_output = "what handlers print goes to standard output as it is",
    casefold_http_method = strict,
    check_config = "`moonloop check` does this",
    child_exit = app_hooks,
    ciphers = tls,
    config = "a configuration file cannot name another one",
    default_proc_name = "processes are named by what they do",
    disable_redirect_access_to_syslog = "moonloop does not log to syslog",
    do_handshake_on_connect = tls,
    dogstatsd_tags = "moonloop does not send to statsd",
    enable_stdio_inheritance = "standard output and error are inherited unless daemon is set",
    forwarder_headers = "forwarded_header says which fields of forwarded_allow_ips are believed",
    header_map = strict,
    initgroups = "user sets the user's supplementary groups by itself",
    limit_request_field_size = "limit_request_header limits all fields together",
    logconfig = "use errorlog, accesslog, loglevel and log_format",
    logconfig_dict = "use errorlog, accesslog, loglevel and log_format",
    logconfig_json = "use errorlog, accesslog, loglevel and log_format",
    logger_class = "use errorlog, accesslog, loglevel and log_format",
    nworkers_changed = app_hooks,
    on_exit = app_hooks,
    on_reload = app_hooks,
    on_starting = app_hooks,
    paste = "apps are Lua files in the apps directory",
    permit_obsolete_folding = strict,
    permit_unconventional_http_method = strict,
    permit_unconventional_http_version = strict,
    post_fork = app_hooks,
    post_request = "app:use wraps every request",
    post_worker_init = app_hooks,
    pre_exec = app_hooks,
    pre_fork = app_hooks,
    pre_request = "app:use wraps every request",
    preload_app = "apps are read once by the master and built by each worker",
    print_config = "`moonloop serve --help` lists the options",
    proc_name = "processes are named by what they do",
    proxy_allow_ips = "forwarded_allow_ips says whose PROXY headers are believed",
    pythonpath = "apps are Lua files in the apps directory",
    raw_env = "set environment variables where the server is started",
    raw_paste_global_conf = "apps are Lua files in the apps directory",
    reload_engine = "changes are seen by inotify",
    reload_extra_files = "files that apps require are watched by themselves",
    reuse_port = "each worker has its own SO_REUSEPORT socket anyway",
    secure_scheme_headers = "X-Forwarded-Proto of forwarded_allow_ips is believed",
    sendfile = "there is nothing to switch",
    spew = "`moonloop ps` shows what is running",
    ssl_context = tls,
    ssl_version = tls,
    statsd_host = "moonloop does not send to statsd",
    statsd_prefix = "moonloop does not send to statsd",
    strip_header_spaces = strict,
    suppress_ragged_eofs = tls,
    syslog = "moonloop does not log to syslog",
    syslog_addr = "moonloop does not log to syslog",
    syslog_facility = "moonloop does not log to syslog",
    syslog_prefix = "moonloop does not log to syslog",
    tmp_upload_dir = "uploads are not kept in files",
    when_ready = app_hooks,
    worker_abort = app_hooks,
    worker_class = same,
    worker_connections = "max_connections is the limit for each worker",
    worker_exit = app_hooks,
    worker_int = app_hooks,
    worker_tmp_dir = "workers report through shared memory, not through files",
    wsgi_app = "apps are Lua files in the apps directory",
}

--- Those whose flag takes no value.
local switches = {}
for name in ([[capture_output check_config disable_redirect_access_to_syslog do_handshake_on_connect
    casefold_http_method enable_stdio_inheritance initgroups permit_obsolete_folding permit_unconventional_http_method
    permit_unconventional_http_version preload_app print_config reuse_port sendfile spew
    strip_header_spaces suppress_ragged_eofs syslog]]):gmatch("%S+") do
    switches[name] = true
end

--- Flags that are spelled otherwise than the name.
local flags = {
    preload_app = "--preload", worker_class = "-k", raw_env = "-e --env", proc_name = "-n --name",
    logconfig = "--log-config", logconfig_dict = "--log-config-dict", logconfig_json = "--log-config-json",
    access_log_format = "--access-logformat", syslog = "--log-syslog", syslog_addr = "--log-syslog-to",
    syslog_facility = "--log-syslog-facility", syslog_prefix = "--log-syslog-prefix",
    raw_paste_global_conf = "--paste-global", reload_extra_files = "--reload-extra-file", sendfile = "--no-sendfile",
}

return { reasons = reasons, switches = switches, flags = flags }
