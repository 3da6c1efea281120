"""What the API asks of a batch before it takes it: checks in its own words.

The parameters of the requests are not among them: they are checked when a request is processed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from ..answers import is_array, is_object
from ..service import NO_JSON, RefusalError

__all__ = ["LARGEST_BATCH", "PATH", "Entry", "read_entries"]

PATH = "/v1/messages/batches"
"""Where batches are created; all of their endpoints begin with it."""

# The documentation says 256 MB. Who splits for the smaller meaning of it is right by both.
LARGEST_BATCH = 256_000_000
_MOST_REQUESTS = 100_000
_CUSTOM_ID = r"^[a-zA-Z0-9_-]{1,64}$"


class Entry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One request of a batch; `params` are its JSON as it was sent, a view of the body."""

    custom_id: Annotated[str, msgspec.Meta(pattern=_CUSTOM_ID.replace("$", r"\Z"))]  # "$" lets a last line break pass
    params: msgspec.Raw


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    requests: list[Entry]


_decoder = msgspec.json.Decoder(_Body)


def read_entries(body: bytes) -> list[Entry]:
    """Returns the requests of a new batch; raises RefusalError for a body that is none."""
    if len(body) > LARGEST_BATCH:
        raise RefusalError(413, "Request exceeds the maximum size")
    try:
        entries = _decoder.decode(body).requests
    except NO_JSON:
        raise _refusal(_fault_of(body)) from None
    if not entries:
        raise _refusal("requests: List should have at least 1 item after validation, not 0")
    if len(entries) > _MOST_REQUESTS:
        raise _refusal(
            f"requests: List should have at most {_MOST_REQUESTS} items after validation, not {len(entries)}"
        )
    for number, entry in enumerate(entries):
        if bytes(memoryview(entry.params)[:1]) != b"{":
            raise _refusal(f"requests.{number}.params: Input should be a valid dictionary")
    _check_unique(entry.custom_id for entry in entries)
    return entries


def _refusal(message: str) -> RefusalError:
    return RefusalError(400, message)


def _check_unique(custom_ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for custom_id in custom_ids:
        if custom_id in seen:
            raise _refusal(
                f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {custom_id}"
            )
        seen.add(custom_id)


def _fault_of(body: bytes) -> str:
    """Returns what is wrong with a body that the decoder doesn't take, in the API's words."""
    try:
        decoded: object = msgspec.json.decode(body)
    except NO_JSON as error:
        return f"The request body is not valid JSON: {error}"
    if not is_object(decoded):
        return "Input should be a valid dictionary or object to extract fields from"
    if "requests" not in decoded:
        return "requests: Field required"
    if (unknown := next((name for name in decoded if name != "requests"), None)) is not None:
        return f"{unknown}: Extra inputs are not permitted"
    entries: object = decoded["requests"]
    if not is_array(entries):
        return "requests: Input should be a valid list"
    faults = (_fault_of_entry(entry, f"requests.{number}") for number, entry in enumerate(entries))
    return next((fault for fault in faults if fault is not None), "The request body is not valid JSON")


def _fault_of_entry(entry: Any, where: str) -> str | None:
    if not is_object(entry):
        return f"{where}: Input should be a valid dictionary or object to extract fields from"
    for name in ("custom_id", "params"):
        if name not in entry:
            return f"{where}.{name}: Field required"
    if (unknown := next((name for name in entry if name not in ("custom_id", "params")), None)) is not None:
        return f"{where}.{unknown}: Extra inputs are not permitted"
    custom_id: object = entry["custom_id"]
    if not isinstance(custom_id, str):
        return f"{where}.custom_id: Input should be a valid string"
    if not custom_id:
        return f"{where}.custom_id: String should have at least 1 character"
    if len(custom_id) > 64:
        return f"{where}.custom_id: String should have at most 64 characters"
    if not re.fullmatch(_CUSTOM_ID, custom_id):
        return f"{where}.custom_id: String should match pattern '{_CUSTOM_ID}'"
    return None
