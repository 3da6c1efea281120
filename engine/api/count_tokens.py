"""Asking the API how many tokens prompts have, by its endpoint for that. It costs nothing, and has a rate limit of its
own."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import anyio

if TYPE_CHECKING:
    from .clients import AnthropicClient

__all__ = ["CountError", "count_tokens"]

_AT_ONCE = 8
_TRIES = 3
_SECONDS_IN_ALL = 60.0


class CountError(RuntimeError):
    """The API did not count the tokens that it was asked to count."""


async def count_tokens(client: "AnthropicClient", prompts: Sequence[Mapping[str, Any]]) -> list[int]:
    """The input tokens of each of the prompts, which are parameters of requests for messages.

    Takes at most a minute. Raises `CountError` when they can't be had. A cancellation leaves nothing behind.
    """
    from anthropic.types import MessageCountTokensParams

    from .failures import sending_failed

    named = MessageCountTokensParams.__annotations__.keys()
    asking: Any = cast("Any", client).with_options(max_retries=_TRIES - 1)
    counts = [0] * len(prompts)
    places = iter(range(len(prompts)))

    async def count() -> None:
        for place in places:
            known = {name: value for name, value in prompts[place].items() if name in named}
            counts[place] = (await asking.messages.count_tokens(**known)).input_tokens

    try:
        with anyio.fail_after(_SECONDS_IN_ALL):
            async with anyio.create_task_group() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.start_soon(count)
    except Exception as caught:
        exc = caught
        while isinstance(exc, ExceptionGroup):
            exc = cast("ExceptionGroup[Exception]", exc).exceptions[0]
        info = sending_failed(exc, None)
        status = f"{info.status} " if info.status else ""
        raise CountError(f"the tokens could not be counted: {status}{info.type}: {info.message}") from None
    return counts
