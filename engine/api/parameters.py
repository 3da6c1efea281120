"""The parameters of the Messages API, as the SDK names them."""

from functools import cache
from typing import Any, cast

from ...actors.stream import MessageParams

__all__ = ["BODY_PARAMETERS", "DEFAULT_MAX_TOKENS", "sdk_parameters"]

DEFAULT_MAX_TOKENS = 4096
"""What `max_tokens` is when neither the request nor the model's defaults say."""

# The SDK's `create` no longer names some, such as `temperature`, that older models take: they go into the body.
BODY_PARAMETERS = frozenset(MessageParams.__annotations__)


@cache
def sdk_parameters(*, beta: bool) -> frozenset[str]:
    """The names that the SDK's `create` takes as the API's own parameters.

    They are read from its types, since instrumentation that wraps `create` need not keep its signature.
    """
    from anthropic.types import MessageCreateParams
    from anthropic.types.beta import MessageCreateParams as BetaMessageCreateParams

    names: set[str] = set()
    for kind in cast("Any", BetaMessageCreateParams if beta else MessageCreateParams).__args__:
        names |= kind.__required_keys__ | kind.__optional_keys__
    return frozenset(names - {"stream", "betas"})
