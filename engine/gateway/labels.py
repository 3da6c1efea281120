"""What the engine is told of a foreign request beside the request itself: by its headers, or by its context.

The headers begin with `manystream-` and stay here. A context holds the labels of the blocks that are open in it, for
frameworks in which a caller can't reach the headers.
"""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from ...actors.stream import kind

__all__ = ["OWN_PREFIX", "LabelError", "Labels", "labelled", "labels_in_context"]

OWN_PREFIX = b"manystream-"
"""How the names of the gateway's own headers begin."""


class LabelError(ValueError):
    """A header of the gateway's own that is not known, or has a value that can't be."""


@attrs.frozen(kw_only=True)
class Labels:
    """The labels of a request. What is None is not said."""

    group: str | None = attrs.field(default=None, validator=kind(str, "a string", optional=True))
    priority: int | None = attrs.field(default=None, validator=kind(int, "a whole number", optional=True))
    custom_id: str | None = attrs.field(default=None, validator=kind(str, "a string", optional=True))
    max_attempts: int | None = None

    def over(self, other: "Labels") -> "Labels":
        """These labels, and where they say nothing, the `other`s."""
        if self == _NOTHING:
            return other
        mine = {name: value for name, value in _said(self).items() if value is not None}
        return attrs.evolve(other, **mine)

    @classmethod
    def of_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> "Labels":
        """The labels in a request's headers, of which all but the gateway's own are passed over. Raises `LabelError`,
        which names the header."""
        said: dict[str, str | int] = {}
        for raw_name, raw_value in headers:
            name = raw_name.lower()
            if not name.startswith(OWN_PREFIX):
                continue
            field = _FIELDS.get(name)
            value = raw_value.decode("utf-8", "replace").strip()
            if field is None:
                known = ", ".join(known.decode() for known in _FIELDS)
                raise LabelError(f"there is no header {name.decode('latin-1')!r}; the known ones are {known}")
            if field in ("priority", "max_attempts"):
                said[field] = _whole(name, value, least=1 if field == "max_attempts" else None)
            elif value:
                said[field] = value
            else:
                raise LabelError(f"the header {name.decode()} is empty")
        return cls(**said)  # pyright: ignore[reportArgumentType]


_FIELDS = {
    b"manystream-group": "group",
    b"manystream-priority": "priority",
    b"manystream-custom-id": "custom_id",
    b"manystream-max-attempts": "max_attempts",
}
_NOTHING = Labels()
_said = attrs.asdict


def _whole(name: bytes, value: str, least: int | None) -> int:
    try:
        number = int(value)
    except ValueError:
        raise LabelError(f"the header {name.decode()} is a whole number, not {value[:40]!r}") from None
    if least is not None and number < least:
        raise LabelError(f"the header {name.decode()} is at least {least}, not {number}")
    return number


_open: ContextVar[Mapping[object, Labels]] = ContextVar("manystream_labels")


@contextmanager
def labelled(owner: object, labels: Labels) -> Generator[None]:
    """A block in whose context these are the labels of requests to `owner`, which is an engine's key. Within another
    block they come first."""
    before = _open.get({})
    token = _open.set({**before, owner: labels.over(before.get(owner, _NOTHING))})
    try:
        yield
    finally:
        _open.reset(token)


def labels_in_context(owner: object) -> Labels:
    """The labels for requests to `owner` in this context."""
    return _open.get({}).get(owner, _NOTHING)
