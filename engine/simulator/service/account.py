"""The service behind the API: it lets requests in or refuses them, by its conditions, and keeps the account of each.

Everything is decided from the request, the clock's time and what went before; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..answers import NOTHING, Usage
from .cache import Prompt, PromptCache
from .conditions import Conditions
from .limits import RateLimits
from .overload import Acceleration, Capacity
from .spending import Spending
from .steps import Send

__all__ = ["Account", "Service"]


class Service:
    """What the requests of one organisation share: limits, spending, the prompt cache, and whether there is room.

    `clock` returns the time in seconds.
    """

    def __init__(self, conditions: Conditions, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits = RateLimits(conditions.limits)
        self._acceleration = Acceleration(conditions.ramp)
        self._spending = Spending(conditions.spend)
        self._capacity = Capacity(conditions.overload)
        self._cache = PromptCache(conditions.cache)

    def check(self, body: dict[str, Any], luck: str, now: float, user_profile: str | None = None) -> Account:
        """Returns the account of a valid request; raises RefusalError when it isn't let in.

        It uses up nothing before `Account.let_in`. `luck` is the seed of what comes by chance. `user_profile` is the
        one that the request is made for.
        """
        prompt = self._cache.look_up(body, now)
        model: str = body["model"]
        self._spending.check(user_profile, now)
        self._limits.check(model, _limited(prompt.usage), now)
        self._acceleration.check(now)
        self._capacity.check(luck, now)
        return Account(self, model, prompt, user_profile)

    def headers(self, model: str, now: float) -> list[tuple[str, str]]:
        """Returns the headers that tell where the model's limits stand."""
        return self._limits.headers(model, now)

    def let_in(self, model: str, prompt: Prompt, now: float) -> None:
        """Takes from the limits what the request takes at once."""
        self._limits.let_in(model, _limited(prompt.usage), now)
        self._acceleration.let_in(now)
        self._cache.use(prompt, now)

    def begun(self, prompt: Prompt) -> None:
        """Notes that the response to this prompt has begun."""
        self._cache.write(prompt, self._clock())

    def produced(self, model: str, tokens: int, user_profile: str | None) -> None:
        """Notes that the model has made tokens."""
        self._limits.produced(model, tokens, self._clock())
        self._spending.produced(tokens, user_profile)


class Account:
    """What one request costs, as its response goes on."""

    def __init__(self, service: Service, model: str, prompt: Prompt, user_profile: str | None) -> None:
        self._service = service
        self._model = model
        self._prompt = prompt
        self._user_profile = user_profile
        self._produced = 0
        self._whole: int | None = None

    @property
    def usage(self) -> Usage:
        """Its input."""
        return self._prompt.usage

    def expect(self, output_tokens: int) -> None:
        """Says how many tokens the whole answer has; until then, whatever is counted is taken for it."""
        self._whole = output_tokens

    def let_in(self, now: float) -> None:
        """Takes from the service what the request takes at once."""
        self._service.let_in(self._model, self._prompt, now)

    def performed(self, step: Send) -> Usage:
        """Notes that a part of the response is on its way, and returns what is billed for it.

        The input is billed when the message begins, the output as it is made. An event's tokens are an estimate: the
        end of an answer settles them.
        """
        billed = NOTHING
        if step.kind in ("message_start", "message"):
            self._service.begun(self._prompt)
            billed = self._prompt.usage
        tokens = step.tokens
        if self._whole is not None:
            left = self._whole - self._produced
            tokens = left if step.kind in ("message_delta", "message") else min(tokens, left)
        if tokens:
            self._produced += tokens
            self._service.produced(self._model, tokens, self._user_profile)
            billed += Usage(output_tokens=tokens)
        return billed


def _limited(usage: Usage) -> int:
    """The input that counts for the limit."""
    return usage.input_tokens + usage.cache_creation_input_tokens
