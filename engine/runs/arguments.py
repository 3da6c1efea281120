"""What `open_run` is given, checked before anything is read, replaced or sent: each error says in one sentence what an
argument is to be."""

from collections.abc import Iterable
from typing import cast

from ...actors.stream import check_kind, check_number, check_path
from ..engine import Engine
from .again import Again
from .too_many import MaxFailures

__all__ = ["again_by", "check_flags", "check_run", "check_taken", "failures_by"]


def check_run(engine: object, output: object, stream_events: object, **flags: object) -> None:
    """Raises `TypeError` for what is no engine, no path or no flag, and `ValueError` for an empty path. A flag that is
    neither True nor False was meant for something else: `overwrite="no"` must not begin anew."""
    check_kind("engine", engine, Engine, "an Engine, as in async with Engine(model) as engine")
    check_path("output", output, "the path of the results file, or - for standard output")
    if stream_events is not None:
        check_path("stream_events", stream_events, "the path of a directory, or - for standard output")
    check_flags(**flags)


def check_flags(**flags: object) -> None:
    """Raises `TypeError` for one that is neither True nor False."""
    for name, flag in flags.items():
        check_kind(name, flag, bool, "True or False")


def check_taken(*, limit: object, seed: object) -> None:
    """What is taken of a source. Raises `TypeError` and `ValueError`."""
    if limit is not None:
        check_number("limit is at least 1, or None", limit, least=1, whole=True)
    if seed is not None:
        check_number("seed is a whole number, or None", seed, whole=True)


def again_by(*, errored: bool, only: Iterable[str], stopped: Iterable[str]) -> Again:
    """Which answers are asked for again. Raises `TypeError` for what is no name, and `ValueError` for unknown ones."""
    return Again(errored=errored, only=_names("retry_only", only), stopped=_names("retry_stopped", stopped))


def _names(argument: str, given: Iterable[str]) -> frozenset[str]:
    if isinstance(given, str | bytes) or not isinstance(cast("object", given), Iterable):
        example = given if isinstance(given, str) else "max_tokens" if "stopped" in argument else "api_error"
        raise TypeError(f"{argument} is a list of names, such as [{example!r}], not {type(given).__name__}")
    names = frozenset(given)
    for name in names:
        check_kind(f"a name in {argument}", name, str, "a string")
    return names


def failures_by(given: int | str | None) -> MaxFailures | None:
    """How many failures stop a run. Raises `ValueError`."""
    try:
        return None if given is None else MaxFailures.of(given)
    except ValueError as exc:
        raise ValueError(f"max_failures is {exc}") from None
