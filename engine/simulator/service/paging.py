"""One page of a list, as all of the API's lists have it: so many items, after or before one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .shape import invalid

__all__ = ["page_of"]

_USUAL, _LARGEST = 20, 1_000


def page_of(items: Sequence[dict[str, Any]], query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Returns the page that `limit`, `after_id` and `before_id` of the query ask for, the items in their order.

    `before_id` asks for the items just before that one. Raises RefusalError (400) for what is no limit, for both
    cursors at once, and for a cursor that isn't the id of an item.
    """
    limit = _limit(query)
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise invalid("after_id, before_id: only one of them may be given")
    if before:
        end = _place(items, before[-1], "before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        start = _place(items, after[-1], "after_id") + 1 if after else 0
        end = min(len(items), start + limit)
        more = end < len(items)
    page = list(items[start:end])
    ids = [item["id"] for item in page] or [None]
    return {"data": page, "has_more": more, "first_id": ids[0], "last_id": ids[-1]}


def _limit(query: Mapping[str, Sequence[str]]) -> int:
    if not (given := query.get("limit")):
        return _USUAL
    try:
        limit = int(given[-1])
    except ValueError:
        raise invalid("limit: Input should be a valid integer, unable to parse string as an integer") from None
    if limit < 1:
        raise invalid("limit: Input should be greater than or equal to 1")
    if limit > _LARGEST:
        raise invalid(f"limit: Input should be less than or equal to {_LARGEST}")
    return limit


def _place(items: Sequence[dict[str, Any]], id: str, name: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == id:
            return place
    raise invalid(f"{name}: there is no {id}")
