# bash completion for moonloop; made by `moonloop help --bash`.
_moonloop() {
    local word=${COMP_WORDS[COMP_CWORD]}
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'serve check routes test run new status reload upgrade stop scale ps version help' -- "$word")
    elif [[ $word == -* ]]; then
        local flags=
        case ${COMP_WORDS[1]} in
        serve) flags='--config --bind --workers --threads --processes --dev --reload --no-reload --timeout --block-limit --block_limit --block-limit --header-timeout --header_timeout --header-timeout --body-timeout --body_timeout --body-timeout --keepalive --keep-alive --keep_alive --keep-alive --graceful-timeout --graceful_timeout --graceful-timeout --limit-request-line --limit_request_line --limit-request-line --limit-request-header --limit_request_header --limit-request-header --limit-request-fields --limit_request_fields --limit-request-fields --max-body --max_body --max-body --max-connections --max_connections --max-connections --max-requests --max_requests --max-requests --max-requests-jitter --max_requests_jitter --max-requests-jitter --max-memory --max_memory --max-memory --pidfile --pid --control --daemon --user --group --umask --chdir --accesslog --access-logfile --access_logfile --access-logfile --errorlog --error-logfile --error_logfile --error-logfile --log-file --log_file --log-file --loglevel --log-level --log_level --log-level --log-format --log_format --log-format --certfile --keyfile --shared-path --shared_path --shared-path --shared-size --shared_size --shared-size --shared-sync --shared_sync --shared-sync --forwarded-allow-ips --forwarded_allow_ips --forwarded-allow-ips --host --port --help' ;;
        check) flags='--config --bind --workers --threads --processes --dev --reload --no-reload --timeout --block-limit --block_limit --block-limit --header-timeout --header_timeout --header-timeout --body-timeout --body_timeout --body-timeout --keepalive --keep-alive --keep_alive --keep-alive --graceful-timeout --graceful_timeout --graceful-timeout --limit-request-line --limit_request_line --limit-request-line --limit-request-header --limit_request_header --limit-request-header --limit-request-fields --limit_request_fields --limit-request-fields --max-body --max_body --max-body --max-connections --max_connections --max-connections --max-requests --max_requests --max-requests --max-requests-jitter --max_requests_jitter --max-requests-jitter --max-memory --max_memory --max-memory --pidfile --pid --control --daemon --user --group --umask --chdir --accesslog --access-logfile --access_logfile --access-logfile --errorlog --error-logfile --error_logfile --error-logfile --log-file --log_file --log-file --loglevel --log-level --log_level --log-level --log-format --log_format --log-format --certfile --keyfile --shared-path --shared_path --shared-path --shared-size --shared_size --shared-size --shared-sync --shared_sync --shared-sync --forwarded-allow-ips --forwarded_allow_ips --forwarded-allow-ips --host --port --help' ;;
        routes) flags='--config --control --json --running --help' ;;
        test) flags='--filter --filter-out --tags --exclude-tags --pattern --output --repeat --seed --slow --shuffle --verbose --no-lint --help' ;;
        run) flags='--help' ;;
        new) flags='--help' ;;
        status) flags='--json --config --control --apps --help' ;;
        reload) flags='--wait --json --config --control --apps --help' ;;
        upgrade) flags='--json --config --control --apps --help' ;;
        stop) flags='--json --config --control --apps --help' ;;
        scale) flags='--json --config --control --apps --help' ;;
        ps) flags='--json --config --control --apps --help' ;;
        version) flags='--json --help' ;;
        help) flags='--help' ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _moonloop moonloop ./moonloop
