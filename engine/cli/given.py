"""What the command line gives in a spelling of its own, prices and limits; and how an invalid input is told."""

import math
from collections.abc import Mapping, Sequence

from ..admission import Limits
from ..admission.model_groups import limits_by_pool
from ..input import InputError
from ..input.invalid import Invalid
from ..prices import Price
from .telling import fail, say

__all__ = ["limits_of", "price_of", "tell_invalid"]

_KEYS = {
    "requests": "requests_per_minute",
    "input": "input_tokens_per_minute",
    "output": "output_tokens_per_minute",
}


def tell_invalid(invalid: Invalid) -> None:
    """Tells what is not valid, and what can be done about it."""
    for line in invalid.told:
        fail(line)
    if invalid.count > 1:
        shown = f", of which {len(invalid.told)} are shown" if invalid.count > len(invalid.told) else ""
        say(f"{invalid.count:,} requests are not valid{shown}: mend them, or leave them out with --skip-invalid")


def price_of(text: str) -> tuple[str, Price]:
    """A model and its price. Raises `InputError`."""
    model, _, amounts = text.rpartition("=")
    try:
        dollars = [float(amount) for amount in amounts.split(",")]
        if not model or len(dollars) != 2:
            raise ValueError
        return model, Price(*dollars)
    except ValueError:
        raise InputError(
            f"--price {text!r} is not MODEL=IN,OUT, in dollars per million tokens, such as claude-opus-5-5=4,20"
        ) from None


def limits_of(said: Sequence[str]) -> Limits | Mapping[str, Limits] | None:
    """The limits as the command line has them: `[MODEL:]requests=N,input=N,output=N`, several times; None without any.

    Raises `InputError`.
    """
    found: dict[str | None, Limits] = {}
    for text in said:
        model, _, amounts = text.rpartition(":")
        try:
            values: dict[str, float] = {}
            for amount in amounts.split(","):
                key, _, number = amount.partition("=")
                value = float(number.replace("_", ""))
                if not 0 < value < math.inf:
                    raise ValueError
                values[_KEYS[key.strip()]] = value
            found[model or None] = Limits(**values)
        except (ValueError, KeyError):
            raise InputError(
                f"--limits {text!r} is not requests=N,input=N,output=N, or some of these, per minute; or"
                " MODEL:requests=N and so on, for one model"
            ) from None
    if None in found:
        if len(found) > 1:
            raise InputError("--limits: give them for all models together, or each with its MODEL: before it")
        return found[None]
    by_model = {str(model): limits for model, limits in found.items()}
    try:
        limits_by_pool(by_model)
    except ValueError as exc:
        raise InputError(f"--{exc}") from None
    return by_model or None
