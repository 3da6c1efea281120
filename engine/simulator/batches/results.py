"""The results of a batch: a line for each request, made when it is read, the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeAlias

import msgspec

from ..answers import NOTHING, Answer, Head, Usage, identifier, input_tokens, message_json
from ..service import RefusalError, check_create, error_body, error_type
from .batch import Batch, BatchOutcome, Counts, Fate
from .creation import Entry

__all__ = ["Answering", "billed", "counted", "outcomes", "result_lines"]

Answering: TypeAlias = Callable[[dict[str, Any], Random], Answer]
"""What the model says to these parameters; the ids in it come from the random numbers."""

# https://platform.claude.com/docs/en/build-with-claude/batch-processing: what a batch can't carry.
_UNSUPPORTED = (
    "speed",
    "store",
    "previous_thread_event_id",
    "cache_hint",
    "context_hint",
    "research_preview_2026_02",
)


def counted(batch: Batch) -> Counts:
    """Returns how many requests of a batch that has ended came to which end."""
    found: dict[str, int] = {}
    for _, outcome in outcomes(batch):
        found[outcome] = found.get(outcome, 0) + 1
    return Counts(**found)


def outcomes(batch: Batch) -> Iterator[tuple[str, BatchOutcome]]:
    """Yields each request's `custom_id` and the type of its result, in the order they were sent."""
    for entry, fate in zip(batch.entries, batch.fates(), strict=True):
        match fate:
            case "processed":
                yield entry.custom_id, "succeeded" if isinstance(_checked(batch, entry), dict) else "errored"
            case "failed":
                yield entry.custom_id, "errored"
            case _:
                yield entry.custom_id, fate


def billed(batch: Batch, answering: Answering) -> Usage:
    """Returns the tokens of all requests that succeeded, which are made for that."""
    total = NOTHING
    for entry, fate in zip(batch.entries, batch.fates(), strict=True):
        params = _checked(batch, entry) if fate == "processed" else None
        if isinstance(params, dict):
            answer = answering(params, Random(f"{batch.seed} {entry.custom_id}"))
            total += Usage(input_tokens=input_tokens(params), output_tokens=answer.output_tokens)
    return total


def result_lines(batch: Batch, answering: Answering) -> Iterator[bytes]:
    """Yields the lines of a batch that has ended, in an order of their own."""
    fates = batch.fates()
    order = list(range(len(fates)))
    Random(f"{batch.seed} results").shuffle(order)
    for number in order:
        entry = batch.entries[number]
        result = _result(batch, entry, fates[number], answering)
        yield b'{"custom_id":"%b","result":%b}\n' % (entry.custom_id.encode(), result)


def _result(batch: Batch, entry: Entry, fate: Fate, answering: Answering) -> bytes:
    if fate in ("canceled", "expired"):
        return b'{"type":"%b"}' % fate.encode()
    random = Random(f"{batch.seed} {entry.custom_id}")
    if fate == "failed":
        return _errored(*error_type(500), identifier("workerreq", random))
    params = _checked(batch, entry)
    if isinstance(params, RefusalError):
        return _errored(params.type, params.message, None)
    head = Head(
        identifier("msg", random), params["model"], Usage(input_tokens=input_tokens(params)), service_tier="batch"
    )
    return b'{"type":"succeeded","message":%b}' % message_json(head, answering(params, random))


def _errored(type: str, message: str, request_id: str | None) -> bytes:
    error = error_body(type, message, "", {"error_visibility": "user_facing"})
    error["request_id"] = request_id  # null where a request was never worked on
    return msgspec.json.encode({"type": "errored", "error": error})


def _checked(batch: Batch, entry: Entry) -> dict[str, Any] | RefusalError:
    """Returns the parameters of a request, or what the service says of them when it comes to process them."""
    try:
        params: dict[str, Any] = msgspec.json.decode(entry.params)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # what isn't UTF-8 goes unnoticed before
        return RefusalError(400, f"The request body is not valid JSON: {error}")
    try:
        profile: object = params.pop("user_profile_id", None)
        if None not in (profile, batch.profile) and profile != batch.profile:
            raise RefusalError(400, "user_profile_id: conflicts with the anthropic-user-profile-id of the batch")
        if params.get("stream") is True:
            raise RefusalError(400, "`stream=True` is not supported in the Message Batches API")
        for name in _UNSUPPORTED:
            if name in params:
                raise RefusalError(400, f"`{name}` is not supported in the Message Batches API")
        if params.get("max_tokens") == 0:
            raise RefusalError(400, "max_tokens: must be greater than or equal to 1")
        return check_create(params)
    except RefusalError as fault:
        return fault
