"""What a pickle of our values holds, and what it leaves out: a result goes through a process pool whatever it brought,
and no secret with it.

Copies stay in the process and leave nothing out.
"""

import pickle
import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

__all__ = ["DROPPED", "Lost", "portable", "portable_cause", "revive", "without_secrets"]

DROPPED = "<dropped>"
"""The value that a header which may be a secret has in a request that was pickled."""

# Rather too many than too few: a header that is needed can be set again.
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|credential|passw|signature|session|jwt", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?i:\b(bearer|basic|digest|negotiate)\s)|\bsk-|\beyJ")
_HARMLESS = frozenset({"idempotency-key"})

_PLAIN = frozenset({str, int, float, bool, type(None)})

ErrorT = TypeVar("ErrorT", bound=BaseException)


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with `DROPPED` for the value of each that may be a secret by its name or its looks."""
    return {name: DROPPED if _is_secret(name, value) else value for name, value in headers.items()}


def _is_secret(name: str, value: object) -> bool:
    if name.lower() in _HARMLESS:
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(str(value)))


@attrs.frozen
class Lost:
    """Stands for a value that no pickle can hold. Such a value can't be sent, and nor can this."""

    kind: str


def portable(value: Any) -> Any:
    """JSON-like data with only such leaves as a pickle can hold; others are replaced by something that can't be sent
    either."""
    kind = cast("type[object]", type(value))
    if kind in _PLAIN:
        return value
    # By `map`, which takes half the stack that a comprehension does.
    if kind is dict:
        return dict(zip(value, map(portable, value.values()), strict=True))
    if kind is list:
        return list(map(portable, value))
    if kind is tuple:
        return tuple(map(portable, value))
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return Lost(kind.__name__)
    return value


def portable_cause(cause: BaseException | None) -> BaseException | None:
    """The exception if it is one of Python's own and holds nothing but plain values; else None. Those of clients may
    hold the request with its key, may not pickle, or pickle and not come back."""
    if cause is None or type(cause).__module__ != "builtins" or cause.__dict__:
        return None
    return cause if all(type(value) in _PLAIN for value in cause.args) else None


def revive(kind: type[ErrorT], args: tuple[Any, ...], attributes: dict[str, Any]) -> ErrorT:
    """An exception as it was, without its `__init__`, which may take other arguments than it passes on."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
