"""What became of the rows, by the file that the user ends with, and what was asked and billed, by the ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

__all__ = ["Exchange", "Row", "Tally", "read_rows", "tally"]


@attrs.frozen
class Exchange:
    """A request that reached the service: what was asked, how that was answered, and the tokens that are billed.

    `text` is what the whole answer says, None for a refusal.
    """

    prompt: str
    status: int | None
    outcome: str
    input_tokens: int
    output_tokens: int
    text: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the whole answer was sent."""
        return self.status == 200 and self.outcome == "complete"


@attrs.frozen
class Row:
    """A line of the user's results: the row's id and its answer, None for an error."""

    id: str
    text: str | None


@attrs.frozen(kw_only=True)
class Tally:
    """The counts. Dollars are at the price given."""

    rows: int
    lost: int
    """Rows of which the results say nothing."""
    errored: int
    """Rows of which they have an error, and no answer."""
    doubled: int
    """Lines of a row that has one already."""
    wrong: int
    """Rows whose answer is not what the service said: half of it, or another row's."""
    requests: int
    refused: int
    """Requests answered 429."""
    overloaded: int
    """Requests answered 529."""
    cut: int
    """Answers that the service broke off."""
    abandoned: int
    """Answers that nobody waited for to the end: those under way when the program was killed."""
    answers: int
    """Whole answers."""
    dollars: float
    dollars_needed: float
    """What each row's answer costs once."""


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Reads results: lines of the Message Batches format, or `{"id": …, "text": …}`; a torn line counts for nothing."""
    rows: list[Row] = []
    for line in lines:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if "custom_id" not in entry:
            rows.append(Row(entry["id"], entry.get("text")))
            continue
        result = entry["result"]
        text = None
        if result["type"] == "succeeded":
            text = "".join(block["text"] for block in result["message"]["content"] if block["type"] == "text")
        rows.append(Row(entry["custom_id"], text))
    return rows


def tally(
    prompts: Mapping[str, str], exchanges: Sequence[Exchange], rows: Sequence[Row], *, price: tuple[float, float]
) -> Tally:
    """Counts. `prompts` are the job's rows by id; `price` is dollars per million input and output tokens."""
    whole = {exchange.prompt: exchange for exchange in exchanges if exchange.whole}
    lines: dict[str, list[str]] = {}
    errors: set[str] = set()
    for row in rows:
        if row.text is None:
            errors.add(row.id)
        else:
            lines.setdefault(row.id, []).append(row.text)
    times = Counter(row.id for row in rows)

    def right(id: str, texts: Iterable[str]) -> bool:
        said = whole.get(prompts.get(id, ""))
        # Some libraries take the white space from the ends.
        return said is not None and all(text.strip() == (said.text or "").strip() for text in texts)

    def cost(exchange: Exchange) -> float:
        return (exchange.input_tokens * price[0] + exchange.output_tokens * price[1]) / 1e6

    once = [cost(whole[prompt]) for prompt in prompts.values() if prompt in whole]
    statuses = Counter(exchange.status for exchange in exchanges)
    outcomes = Counter(exchange.outcome for exchange in exchanges if exchange.status in (200, None))
    return Tally(
        rows=len(prompts),
        lost=sum(id not in times for id in prompts),
        errored=len(errors - lines.keys()),
        doubled=sum(count - 1 for count in times.values()),
        wrong=sum(not right(id, texts) for id, texts in lines.items()),
        requests=len(exchanges),
        refused=statuses[429],
        overloaded=statuses[529],
        cut=outcomes["cut"],
        abandoned=outcomes["disconnected"],
        answers=sum(exchange.whole for exchange in exchanges),
        dollars=sum(map(cost, exchanges)),
        # A row that was never answered is taken to cost what the others do.
        dollars_needed=sum(once) / len(once) * len(prompts) if once else 0.0,
    )
