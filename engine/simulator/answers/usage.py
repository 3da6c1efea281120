"""What a request counts for: the tokens that go in, by where they come from, and those that come out."""

from __future__ import annotations

import attrs

__all__ = ["NOTHING", "Usage"]


@attrs.frozen(kw_only=True)
class Usage:
    """Tokens. Together the three kinds of input are the whole request: what is cached is not counted again."""

    input_tokens: int = 0
    """Neither read from the cache nor written to it."""
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    one_hour_tokens: int = 0
    """How many of those written to the cache stay for an hour."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cache_creation_input_tokens=self.cache_creation_input_tokens + other.cache_creation_input_tokens,
            cache_read_input_tokens=self.cache_read_input_tokens + other.cache_read_input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            one_hour_tokens=self.one_hour_tokens + other.one_hour_tokens,
        )


NOTHING = Usage()
