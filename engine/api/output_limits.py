"""How long an answer a model gives at most: the largest `max_tokens` that the API takes for it.

Source: platform.claude.com/docs/en/models/overview, as it stood on 20 November 2026. The names are those of the API;
Amazon Bedrock writes `anthropic.` before them and `-v1:0` behind, Google Cloud `@` before the date.
"""

import re

__all__ = ["output_limit"]

_LIMITS = (
    (r"claude-(?:fable|mythos|opus|sonnet|haiku)-5(?:-\d)?", 128_000),
    (r"claude-mythos-preview", 128_000),
    (r"claude-(?:opus-4-[678]|sonnet-4-6)", 128_000),
    (r"claude-(?:opus|sonnet|haiku)-4-5", 64_000),
)
_BEFORE = re.compile(r"^(?:[a-z]{2,6}\.)?anthropic\.")
_BEHIND = re.compile(r"(?:[-@]\d{8}|-latest)?(?:-v\d+(?::\d+)?)?$")


def output_limit(model_name: str) -> int | None:
    """In tokens; None for a model that isn't known here."""
    name = _BEHIND.sub("", _BEFORE.sub("", model_name))
    return next((tokens for pattern, tokens in _LIMITS if re.fullmatch(pattern, name)), None)
