"""File descriptors: a stream needs one for its connection, and a process often may have only 256 or 1,024.

The limit is raised as far as the system lets us. When even that is too low, fewer requests run at a time: a connection
that gets no descriptor would fail a request, and a module that is imported late would not load.
"""

from .telling import say

__all__ = ["affordable"]

_OURS = 64  # for the event loop, the journal, results and events, modules, name resolution, those who watch


def affordable(concurrency: int, *, quiet: bool = False) -> int:
    """Raises the process's soft limit as needed; returns how many requests of `concurrency` can run at a time, and says
    so when they are fewer."""
    try:
        import resource
    except ImportError:  # Windows, whose sockets are no file descriptors
        return concurrency
    needed = concurrency + _OURS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return concurrency
    reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if reachable > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
            soft = reachable
        except (OSError, ValueError):  # macOS refuses more than its kernel's own limit
            pass
    if soft >= needed:
        return concurrency
    fewer = max(1, soft - _OURS)
    if not quiet and fewer < concurrency:
        say(f"{fewer:,} requests at a time, not {concurrency:,}: the system allows {soft:,} open files (ulimit -n)")
    return min(fewer, concurrency)
