"""What differs between the requests that were answered and those that stand under the same ids now.

The journal keeps a hash of all that is sent, and a short text of the parameters other than the messages. Requests share
most of these texts, so each stands in the journal once. A text has numbers and the model as they are. All else is in it
as a hash: it may be long, and is nobody's to read there.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, cast

from ...actors.stream import StreamRequest

__all__ = ["Pair", "digest", "shared_text", "what_differs"]

Pair = tuple[str | None, str | None, int]
"""A text that was, the text that is, and how many requests have both. None where an older version kept none."""

_TOLD = 3  # parameters that are named
_DIGEST_BYTES = 16
_SHORT_DIGEST_BYTES = 6
_LONGEST_NAME = 100


def digest(params: Mapping[str, Any], request: StreamRequest) -> bytes:
    """What tells a request that is sent with `params` from one that isn't the same."""
    return _digest([params, request.betas, dict(request.extra_body)], _DIGEST_BYTES)


def shared_text(params: Mapping[str, Any], request: StreamRequest) -> str:
    """The parameters other than the messages, in short."""
    rest = {name: value for name, value in {**params, **request.extra_body}.items() if name != "messages"}
    if request.betas:
        rest["betas"] = list(request.betas)
    return _json({name: _short(name, value) for name, value in rest.items()})


def what_differs(pairs: Iterable[Pair]) -> str:
    """The parameters that differ, those first in which most requests do: `model was A, is B; system differs`. Empty
    when nobody knows."""
    counts, changes = Counter[str](), dict[str, set[tuple[object, object]]]()
    for was, now, count in pairs:
        if was is None or now is None:
            continue
        before, after = _read(was), _read(now)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        for name in names or ["messages"]:
            counts[name] += count
            changes.setdefault(name, set()).add((before.get(name), after.get(name)))
    told = [_told(name, changes[name]) for name, _ in counts.most_common(_TOLD)]
    return "; ".join(told + ["and more"] * (len(counts) > _TOLD))


def _told(name: str, changes: set[tuple[object, object]]) -> str:
    if len(changes) == 1:
        ((was, now),) = changes
        if name == "model" or not (isinstance(was, str) or isinstance(now, str) or was == now):
            return f"{name} was {_word(was)}, is {_word(now)}"
    return "messages differ" if name == "messages" else f"{name} differs"


def _word(value: object) -> str:
    return "not given" if value is None else value if isinstance(value, str) else json.dumps(value)


def _short(name: str, value: object) -> object:
    """Itself if it is a number or the model; else its hash, a text."""
    if isinstance(value, bool | int | float) or (name == "model" and isinstance(value, str)):
        return value[:_LONGEST_NAME] if isinstance(value, str) else value
    return _digest(value, _SHORT_DIGEST_BYTES).hex()


def _digest(value: object, size: int) -> bytes:
    return blake2b(_json(value).encode(), digest_size=size).digest()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _read(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
