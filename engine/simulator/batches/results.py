"""The results of a batch: a line for each request, made when it is read, the same each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

import attrs
import msgspec

from ..answers import NOTHING, Answer, Head, Usage, identifier, input_tokens, message_json
from ..service import NO_JSON, RefusalError, check_create, error_body, error_type
from .batch import Batch, BatchOutcome, Counts, Fate
from .creation import Entry

__all__ = ["Answering", "Judged", "billed", "judge", "result_lines"]

Answering: TypeAlias = Callable[[dict[str, Any], Random], Answer]
"""What is said to these parameters; the random numbers decide on the ids in it."""

# https://platform.claude.com/docs/en/build-with-claude/batch-processing: what a batch can't carry.
_UNSUPPORTED = (
    "speed",
    "store",
    "previous_thread_event_id",
    "cache_hint",
    "context_hint",
    "research_preview_2026_02",
)


def _counted(judged: Judged) -> Counts:
    return Counts(**Counter[str](judged.outcome(number) for number in range(len(judged.fates))))


@attrs.frozen
class Judged:
    """What became of each request of a batch that has ended, by its place among those that were sent.

    `faults` has what was wrong with the parameters of one that was processed.
    """

    fates: Sequence[Fate]
    faults: Mapping[int, RefusalError]
    counts: Counts = attrs.field(init=False, default=attrs.Factory(_counted, takes_self=True))

    def outcome(self, number: int) -> BatchOutcome:
        """Returns the type of a request's result."""
        match self.fates[number]:
            case "processed":
                return "errored" if number in self.faults else "succeeded"
            case "failed":
                return "errored"
            case fate:
                return fate


def judge(batch: Batch) -> Judged:
    """Checks the parameters of all requests that were processed in a batch that has ended."""
    fates = batch.fates()
    faults: dict[int, RefusalError] = {}
    for number, (entry, fate) in enumerate(zip(batch.entries, fates, strict=True)):
        if fate == "processed" and (fault := _fault_of(batch, entry)) is not None:
            faults[number] = fault.with_traceback(None)  # which would keep alive all that it saw
    return Judged(fates, faults)


def billed(batch: Batch, judged: Judged, answering: Answering) -> Usage:
    """Returns the tokens of all requests that succeeded, whose answers are made for that."""
    total = NOTHING
    for number, entry in enumerate(batch.entries):
        if judged.outcome(number) == "succeeded":
            params = _params(entry)
            answer = answering(params, Random(f"{batch.seed} {entry.custom_id}"))
            total += Usage(input_tokens=input_tokens(params), output_tokens=answer.output_tokens)
    return total


def result_lines(batch: Batch, judged: Judged, answering: Answering) -> Iterator[bytes]:
    """Yields the lines of a batch that has ended, in an order of their own."""
    order = list(range(len(batch.entries)))
    Random(f"{batch.seed} results").shuffle(order)
    for number in order:
        entry = batch.entries[number]
        result = _result(entry, judged, number, answering, Random(f"{batch.seed} {entry.custom_id}"))
        yield b'{"custom_id":"%b","result":%b}\n' % (entry.custom_id.encode(), result)


def _result(entry: Entry, judged: Judged, number: int, answering: Answering, random: Random) -> bytes:
    match judged.outcome(number):
        case "succeeded":
            params = _params(entry)
            usage = Usage(input_tokens=input_tokens(params))
            head = Head(identifier("msg", random), params["model"], usage, service_tier="batch")
            return b'{"type":"succeeded","message":%b}' % message_json(head, answering(params, random))
        case "errored":
            if (fault := judged.faults.get(number)) is not None:
                return _errored(fault, None)
            return _errored(RefusalError(500, error_type(500)[1]), identifier("workerreq", random))
        case outcome:
            return b'{"type":"%b"}' % outcome.encode()


def _errored(fault: RefusalError, request_id: str | None) -> bytes:
    details = {"error_visibility": "user_facing", **fault.details}
    error = error_body(fault.type, fault.message, "", fault.error_code, details)
    error["request_id"] = request_id  # null where a request was never worked on
    return msgspec.json.encode({"type": "errored", "error": error})


def _params(entry: Entry) -> dict[str, Any]:
    return msgspec.json.decode(entry.params)


def _fault_of(batch: Batch, entry: Entry) -> RefusalError | None:
    """Returns what the service says of a request's parameters when it comes to process them; None if they are right."""
    try:
        params = _params(entry)
    except NO_JSON as error:  # what isn't UTF-8, or is nested too deep, goes unnoticed before
        return RefusalError(400, f"The request body is not valid JSON: {error}")
    profile: object = params.get("user_profile_id")
    try:
        if None not in (profile, batch.profile) and profile != batch.profile:
            raise RefusalError(400, "user_profile_id: conflicts with the anthropic-user-profile-id of the batch")
        if params.get("stream") is True:
            raise RefusalError(400, "`stream=True` is not supported in the Message Batches API")
        for name in _UNSUPPORTED:
            if name in params:
                raise RefusalError(400, f"`{name}` is not supported in the Message Batches API")
        if params.get("max_tokens") == 0:
            raise RefusalError(400, "max_tokens: must be greater than or equal to 1")
        check_create(params, batch.dialect)
    except RefusalError as fault:
        return fault
    return None
