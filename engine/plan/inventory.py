"""What there is to run: each request of the input by its size, its model and what it shares with others.

The requests themselves are not kept: a file may be much larger than memory.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ...actors.stream import StreamRequest
from ..admission import measure
from ..admission.model_groups import pool_name
from ..admission.prompt import Prefix, Prompt, leading_prefixes
from ..api.parameters import DEFAULT_MAX_TOKENS

__all__ = ["Item", "Sample", "item_of", "take_stock"]


@attrs.frozen
class Item:
    """A request of the input."""

    custom_id: str
    model_name: str
    pool: str
    """The rate-limit pool that it counts against."""
    fast: bool
    prompt: Prompt = attrs.field(repr=False)
    """Its size as the engine measures it, and the prefixes that are marked to be cached."""
    max_tokens: int
    prefixes: tuple[Prefix, ...] = attrs.field(repr=False)
    """Those that could be cached."""


@attrs.frozen
class Sample:
    """One of the requests, with all that is sent for it."""

    item: Item
    params: Mapping[str, Any] = attrs.field(repr=False)


def take_stock(
    requests: Iterable[StreamRequest],
    params_for: Callable[[StreamRequest], Mapping[str, Any]],
    *,
    group: Callable[[StreamRequest, str], str],
    samples: int = 0,
    count: int = 0,
) -> tuple[list[Item], list[Sample]]:
    """The requests in their order, and `samples` of them, at even distances if there are `count` in all.

    `params_for` gives what is sent for a request, and `group` the rate-limit group of a request to the model of this
    name. Raises what they and the iterable raise.
    """
    items: list[Item] = []
    kept: list[Sample] = []
    step = max(1, count // samples) if samples else 0
    for number, request in enumerate(requests):
        params = params_for(request)
        items.append(item_of(request, params, number, group=group))
        if step and number % step == 0 and len(kept) < samples:
            kept.append(Sample(items[-1], params))
    return items, kept


def item_of(
    request: StreamRequest, params: Mapping[str, Any], number: int, *, group: Callable[[StreamRequest, str], str]
) -> Item:
    """The request in this place of the input, counted from 0."""
    sent = {**params, **request.extra_body} if request.extra_body else params
    max_tokens, name, fast = sent.get("max_tokens"), str(sent.get("model")), sent.get("speed") == "fast"
    return Item(
        request.custom_id or f"request-{number + 1}",
        name,
        pool_name(group(request, name), fast=fast),
        fast,
        measure(params),
        max_tokens if isinstance(max_tokens, int) else DEFAULT_MAX_TOKENS,
        leading_prefixes(params),
    )
