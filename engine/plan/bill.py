"""What the requests use and cost: tokens by their kind, and dollars, for each model.

Prices are those of short prompts. A long prompt, or one in fast mode, costs so much more in proportion as its price
says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from ...actors.message import Usage
from ..admission.prompt import Prefix
from ..prices import Price, Prices
from .cacheable import Cached, Walk, least_cacheable
from .inventory import Item
from .outlook import Outlook

__all__ = ["Bill", "Input", "bills", "shared_by_many"]

_LONG_PROMPT = 100_000  # tokens, from which on a price may be another


@attrs.define(kw_only=True)
class Input:
    """Input tokens, and what they cost."""

    tokens: float = 0.0
    """All of them."""
    read: float = 0.0
    """Of those, what is read from the cache."""
    written: float = 0.0
    """What is written to it."""
    dollars: float = 0.0
    """0 when the price is unknown."""

    def add(self, tokens: float, cached: Cached, price: Price | None, dearer: float) -> None:
        """Counts a request."""
        self.tokens += tokens
        self.read += cached.read
        self.written += cached.written
        if price is not None:
            plain = max(0.0, tokens - cached.read - cached.written)
            self.dollars += dearer * price.input_cost(plain, cached.read, cached.written, cached.written_for_an_hour)


@attrs.define(kw_only=True)
class Bill:
    """What the requests to one model, in one pool, use and cost."""

    model_name: str
    pool: str
    price: Price | None
    requests: int = 0
    input: Input = attrs.field(factory=Input)
    cached: Input = attrs.field(factory=Input)
    """The input as it would be if every prefix that requests share were marked to be cached."""
    sharing: int = 0
    """Requests that would read something from the cache then."""
    answers: Counter[tuple[int, float]] = attrs.field(factory=Counter[tuple[int, float]])
    """How many answers there are by their `max_tokens`, and by how much dearer they are than usual."""

    def output(self, outlook: Outlook) -> tuple[float, float, float]:
        """The output tokens: at least, expected and at most."""
        found = [
            (count, outlook.mean(max_tokens), outlook.error(max_tokens))
            for (max_tokens, _), count in self.answers.items()
        ]
        low = sum(count * max(0.0, mean - error) for count, mean, error in found)
        return (
            low,
            sum(count * mean for count, mean, _ in found),
            sum(count * (mean + error) for count, mean, error in found),
        )

    def output_dollars(self, outlook: Outlook) -> tuple[float, float, float]:
        """What the output costs: at least, expected and at most; 0 when the price is unknown."""
        low = mid = high = 0.0
        for (max_tokens, dearer), count in self.answers.items():
            each = 0.0 if self.price is None else count * dearer * self.price.output / 1e6
            mean, error = outlook.mean(max_tokens), outlook.error(max_tokens)
            low += each * max(0.0, mean - error)
            mid += each * mean
            high += each * (mean + error)
        return low, mid, high

    def most_dollars(self) -> float:
        """What the output costs if every answer is as long as it may be."""
        if self.price is None:
            return 0.0
        return sum(count * dearer * most for (most, dearer), count in self.answers.items()) * self.price.output / 1e6


def shared_by_many(items: Iterable[Item]) -> frozenset[bytes]:
    """The keys of the prefixes that more than one request has."""
    once: set[bytes] = set()
    more: set[bytes] = set()
    for item in items:
        for prefix in item.prefixes:
            (more if prefix.key in once else once).add(prefix.key)
    return frozenset(more)


def marked(item: Item, outlook: Outlook) -> tuple[Prefix, ...]:
    """The marked prefixes that the API will cache."""
    return _large(item.prompt.prefixes, item, outlook) if outlook.caches else ()


def _large(prefixes: Iterable[Prefix], item: Item, outlook: Outlook) -> tuple[Prefix, ...]:
    least = least_cacheable(item.model_name)
    return tuple(one for one in prefixes if one.tokens * outlook.scale >= least)


def bills(items: Sequence[Item], outlooks: Mapping[str, Outlook], prices: Prices) -> list[Bill]:
    """The bills of all requests, the one with the most requests first."""
    shared = shared_by_many(items)
    walk, other_walk = Walk(), Walk()
    found: dict[tuple[str, str], Bill] = {}
    for item in items:
        bill = found.get((item.model_name, item.pool))
        if bill is None:
            price = prices.price(item.model_name)
            bill = found[item.model_name, item.pool] = Bill(model_name=item.model_name, pool=item.pool, price=price)
        outlook = outlooks[item.pool]
        tokens = item.prompt.tokens * outlook.scale
        dearer = _dearer(item, tokens, bill.price, prices)
        bill.requests += 1
        bill.answers[item.max_tokens, dearer] += 1
        bill.input.add(tokens, walk.take(marked(item, outlook), outlook.scale), bill.price, dearer)
        possible = [one for one in _large(item.prefixes, item, outlook) if one.key in shared]
        cached = other_walk.take(possible, outlook.scale)
        bill.sharing += cached.read > 0
        bill.cached.add(tokens, cached, bill.price, dearer)
    return sorted(found.values(), key=lambda bill: -bill.requests)


def _dearer(item: Item, tokens: float, price: Price | None, prices: Prices) -> float:
    """How many times the usual price a request costs."""
    if price is None or (tokens < _LONG_PROMPT and not item.fast):
        return 1.0
    usage = Usage(input_tokens=round(tokens), output_tokens=1000, details={"speed": "fast"} if item.fast else {})
    usual, real = price.cost(usage), prices.cost(item.model_name, usage)
    return real / usual if real and usual else 1.0
