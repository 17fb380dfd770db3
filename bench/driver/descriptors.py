"""The limit of open files, for measurements with many connections."""

import resource
import sys


def allow_files(count):
    """Raises the limit of open files for this process and for the server, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        sys.exit(f"bench: needs {count} open files, allowed are {hard}; use --connections")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
