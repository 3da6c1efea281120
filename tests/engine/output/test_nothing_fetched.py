"""What a schema refers to outside of itself is neither read nor asked for; and schemas that ask for nothing."""

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from manystream import OutputSpec
from manystream.engine.output import typed_output


@dataclass
class Empty: ...


class EmptyModel(BaseModel): ...


class NoChoice(Enum): ...


@pytest.mark.parametrize("via", ["format", "tool"])
def test_no_file_is_read_and_no_server_asked(via: Any, tmp_path: Path) -> None:
    pytest.importorskip("jsonschema_rs")
    (tmp_path / "name.json").write_text(json.dumps({"type": "string"}))
    there = (tmp_path / "name.json").as_uri()
    for reference in (there, "https://example.invalid/name.json", "name.json", "#/$defs/name"):
        schema = {"type": "object", "properties": {"a": {"$ref": reference}}, "required": ["a"]}
        with pytest.raises(
            (TypeError, ValueError), match=r"refers to .*, which is not in (it|the schema): put it under"
        ):
            typed_output(OutputSpec(schema, via=via))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Empty, "Empty has no fields, so that there is nothing to ask for: give it some"),
        (list[Empty], "Empty has no fields"),
        (EmptyModel, "the output has no fields"),
        (NoChoice, "the output is one of no values: give it some to choose from"),
        (dict, "the output is a dictionary"),
    ],
    ids=str,
)
def test_what_asks_for_nothing_says_so(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        typed_output(given)
