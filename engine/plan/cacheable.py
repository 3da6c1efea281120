"""What the prompt cache does for a series of requests: how much they read from it, and how much they write to it.

The first request with a prefix writes it, those behind read it. That is what the engine sees to: the others follow when
the first answer begins. A prefix that isn't used for its lifetime is forgotten, which is not counted here.
"""

import re
from collections.abc import Sequence

import attrs

from ..admission.prompt import Prefix

__all__ = ["Cached", "Walk", "least_cacheable"]

# Tokens below which nothing is cached, by the model. Source: platform.claude.com/docs/en/build-with-claude/
# prompt-caching, as dev.to/creeta quotes it in 2026. Names of the clouds have something before or behind.
_LEAST = (
    (r"(?:opus|fable|mythos)-5", 512),
    (r"opus-4-7|haiku-3|3-5-haiku|3-haiku", 2048),
    (r"opus-4-[56]|haiku-4-5", 4096),
)
_USUAL_LEAST = 1024
_MARKS = 4  # that a request may have
_HOUR = 3600.0


def least_cacheable(model_name: str) -> int:
    """How many tokens a prefix has at least to be cached."""
    return next((least for pattern, least in _LEAST if re.search(pattern, model_name)), _USUAL_LEAST)


@attrs.frozen
class Cached:
    """What a request has to do with the cache, in tokens."""

    read: float = 0.0
    written: float = 0.0
    written_for_an_hour: float = 0.0
    """Of those written."""


class Walk:
    """Follows requests in their order."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def take(self, prefixes: Sequence[Prefix], scale: float = 1.0) -> Cached:
        """The next request, with the prefixes that are marked in it, the shortest first. Their sizes count `scale`
        times."""
        if not prefixes:
            return Cached()
        prefixes = prefixes[-_MARKS:]
        read = max((one.tokens for one in prefixes if one.key in self._seen), default=0)
        written = prefixes[-1].tokens - read
        hourly = max((one.tokens for one in prefixes if one.ttl >= _HOUR), default=0)
        self._seen.update(one.key for one in prefixes)
        return Cached(read * scale, written * scale, max(0, min(written, hourly - read)) * scale)
