"""Datetimes and times: the model is told how one is written, and half of one is not shown."""

import datetime
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import msgspec
import pytest

from manystream import OutputSpec
from manystream.engine.output import typed_output

DATE_TIME = {"type": "string", "format": "date-time"}
TIME = {"type": "string", "format": "time"}
TEXT = {"type": "string"}


@dataclass
class Visit:
    when: str
    at: datetime.datetime


@attrs.define
class Note:
    at: str


class Entry(msgspec.Struct, tag="entry"):
    at: datetime.time


class Other(msgspec.Struct, tag="other"):
    at: str


class Row(TypedDict):
    at: datetime.datetime


class Pair(NamedTuple):
    name: str
    at: datetime.datetime


def sent(given: Any) -> dict[str, Any]:
    return typed_output(OutputSpec(given, via="tool")).schema


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (datetime.datetime, DATE_TIME),
        (datetime.time, TIME),
        (datetime.date, {"type": "string", "format": "date"}),
        (str, TEXT),
        (datetime.datetime | None, {"anyOf": [DATE_TIME, {"type": "null"}]}),
        (list[datetime.datetime], {"type": "array", "items": DATE_TIME}),
        (Annotated[datetime.datetime, "when"], DATE_TIME),
        (Annotated[datetime.datetime, msgspec.Meta(tz=True)], DATE_TIME),
        (Annotated[datetime.datetime, msgspec.Meta(tz=False)], TEXT),  # the format has a zone
    ],
    ids=str,
)
def test_a_moment_says_how_it_is_written(given: Any, wanted: dict[str, Any]) -> None:
    assert sent(given)["properties"]["value"] == wanted


def test_moments_are_found_wherever_they_stand() -> None:
    assert sent(dict[str, list[datetime.time]])["additionalProperties"] == {"type": "array", "items": TIME}
    assert sent(tuple[str, datetime.time])["properties"]["value"]["prefixItems"] == [TEXT, TIME]
    assert sent(Pair)["$defs"]["Pair"]["prefixItems"] == [TEXT, DATE_TIME]
    assert sent(list[Row])["$defs"]["Row"]["properties"]["at"] == DATE_TIME
    assert sent(Visit)["properties"] == {"when": TEXT, "at": DATE_TIME}


def test_the_field_of_one_class_says_nothing_of_that_of_another() -> None:
    defined = sent(list[Entry | Other])["$defs"]
    assert [defined[name]["properties"]["at"] for name in ("Entry", "Other")] == [TIME, TEXT]
    defined = sent(list[Visit] | Note)["$defs"]
    assert (defined["Visit"]["properties"]["at"], defined["Note"]["properties"]["at"]) == (DATE_TIME, TEXT)


def test_half_a_moment_is_not_shown() -> None:
    output = typed_output(list[Visit])
    assert [output.shows((0, name)) for name in ("when", "at")] == [True, False]


@pytest.mark.parametrize("written", ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00+02:00", "2026-03-01T10:00:00"])
def test_a_moment_is_read_with_and_without_its_zone(written: str) -> None:
    assert typed_output(datetime.datetime).read(f'"{written}"') == datetime.datetime.fromisoformat(written)


def test_the_class_is_left_as_it_is() -> None:
    assert msgspec.json.schema(Visit)["$defs"]["Visit"]["properties"]["at"] == TEXT
