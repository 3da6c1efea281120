"""What a request costs, in dollars.

The package genai-prices knows what models cost, without asking over the network. A caller's own prices come first.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from ..actors.message import EMPTY, Usage
from ..actors.stream import check_number, number

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

__all__ = ["BATCH_PRICE", "Price", "Prices"]

BATCH_PRICE = 0.5
"""Of the live price: https://platform.claude.com/docs/en/build-with-claude/batch-processing"""
_HOUR_WRITE = 1.6  # a cache write that lasts an hour costs 2 times the input, one of five minutes 1.25 times


_is_price = number("{} is dollars per million tokens, 0 or more", least=0)


@attrs.frozen(init=False)
class Price:
    """What a model's tokens cost, in dollars per million. Raises `ValueError` for a price below 0.

    Unless given, a cache write costs 1.25 times `input` and a cache read 0.1 times. Writes that last an hour cost 1.6
    times `cache_write`, which makes 2 times `input`.
    """

    input: float = attrs.field(validator=_is_price)
    """Uncached input."""
    output: float = attrs.field(validator=_is_price)
    cache_write: float = attrs.field(validator=_is_price)
    """Input written to the cache for five minutes."""
    cache_read: float = attrs.field(validator=_is_price)

    def __init__(
        self, input: float, output: float, cache_write: float | None = None, cache_read: float | None = None
    ) -> None:
        check_number("input is dollars per million tokens, 0 or more", input, least=0)
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            input,
            output,
            1.25 * input if cache_write is None else cache_write,
            0.1 * input if cache_read is None else cache_read,
        )

    def cost(self, usage: Usage) -> float:
        """What `usage` costs at this price, in dollars."""
        counts = _Counts.of(usage)
        sent = self.input_cost(counts.uncached, counts.read, counts.written, counts.written_for_an_hour)
        return sent + counts.output * self.output / 1e6

    def input_cost(self, uncached: float, read: float, written: float, written_for_an_hour: float) -> float:
        """What so many input tokens cost, in dollars: uncached ones, those read from the cache, all that are written to
        it, and those of them that last an hour."""
        writes = written + (_HOUR_WRITE - 1) * written_for_an_hour
        return (uncached * self.input + writes * self.cache_write + read * self.cache_read) / 1e6


class Prices:
    """What models cost. `overrides` are a caller's own prices, by the model's name as it is asked for."""

    def __init__(self, overrides: Mapping[str, Price] | None = None) -> None:
        self._overrides = dict(overrides or EMPTY)
        self._unknown: set[str] = set()
        self._taken: set[str] = set()

    def price(self, model_name: str) -> Price | None:
        """The model's price for a short prompt at standard speed; None when it is unknown."""
        if model_name in self._overrides:
            return self._overrides[model_name]
        found = self._calculate(model_name, {}, None)
        if found is None:
            return None
        rates = found.model_price
        base = {name: _base_rate(rates, name) for name in ("input", "output", "cache_write", "cache_read")}
        if base["input"] is None or base["output"] is None:
            return None
        return Price(base["input"], base["output"], base["cache_write"], base["cache_read"])

    def cost(self, model_name: str, usage: Usage) -> float | None:
        """What `usage` costs, in dollars; None when the model's price is unknown.

        The higher prices of long prompts and of the fast mode are applied, and web searches are counted, unless the
        price is one of the caller's own.
        """
        if model_name in self._overrides:
            self._taken.add(model_name)
            return self._overrides[model_name].cost(usage)
        counts = _Counts.of(usage)
        amounts = {
            "input_tokens": counts.uncached + counts.written + counts.read,
            "cache_write_tokens": counts.written,
            "cache_write_1h_tokens": counts.written_for_an_hour,
            "cache_read_tokens": counts.read,
            "output_tokens": counts.output,
            "web_searches": _count(usage.details, "server_tool_use", "web_search_requests"),
        }
        speed = usage.details.get("speed")
        found = self._calculate(model_name, amounts, speed if isinstance(speed, str) else None)
        return None if found is None else float(found.total_price)

    @property
    def unused(self) -> list[str]:
        """The models of the caller's own prices by which no cost was told."""
        return [name for name in self._overrides if name not in self._taken]

    def missed(self, model_name: str, usage: Usage, tokens: int) -> float | None:
        """What a cache miss cost, in dollars: so many input tokens were written to the cache, or taken as plain input,
        instead of read from it. None when the model's price is unknown."""
        price = self.price(model_name)
        if price is None:
            return None
        paid = price.cache_write if usage.cache_creation_input_tokens > 0 else price.input
        return tokens * (paid - price.cache_read) / 1e6

    def _calculate(self, model_name: str, amounts: dict[str, int], speed: str | None) -> "PriceCalculation | None":
        if model_name in self._unknown:  # the package remembers what it has found, but not what it has not
            return None
        import genai_prices  # imported late: it reads a megabyte of prices

        try:
            return genai_prices.calc_price(
                genai_prices.Usage(**amounts),
                model_name,
                # Bedrock's model names have "anthropic." in them, and its prices are its own. Google and Foundry use
                # Anthropic's names and prices.
                provider_id="aws" if "anthropic." in model_name.lower() else "anthropic",
                price_context=None if speed is None else {"speed": speed},
            )
        except LookupError:
            self._unknown.add(model_name)
            return None


@attrs.frozen
class _Counts:
    """The token counts that have a price. None is below 0, whatever the API said."""

    uncached: int
    written: int
    written_for_an_hour: int
    """Of those written."""
    read: int
    output: int

    @classmethod
    def of(cls, usage: Usage) -> "_Counts":
        written = max(usage.cache_creation_input_tokens, 0)
        return cls(
            uncached=max(usage.input_tokens, 0),
            written=written,
            written_for_an_hour=min(_count(usage.details, "cache_creation", "ephemeral_1h_input_tokens"), written),
            read=max(usage.cache_read_input_tokens, 0),
            output=max(usage.output_tokens, 0),
        )


def _count(details: Mapping[str, Any], group: str, name: str) -> int:
    inner = details.get(group)
    value = cast("Mapping[str, object]", inner).get(name) if isinstance(inner, Mapping) else None
    return max(value, 0) if type(value) is int else 0


def _base_rate(rates: "ModelPrice", name: str) -> float | None:
    rate = getattr(rates, f"{name}_mtok", None)
    rate = getattr(rate, "base", rate)  # the rate of short prompts, where long ones cost more
    return None if rate is None else float(rate)
