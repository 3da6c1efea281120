"""How rows become requests: their ids, their prompts, their epochs, and what travels beside their results."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from manystream import Beside, Columns, InputError, Numbered, RequestFile, read_requests
from manystream.engine.runs.differences import digest


def read(path: Path, rows: Sequence[Any], **options: Any) -> RequestFile:
    path.write_text("\n".join(map(json.dumps, rows)))
    requests = read_requests(path, **options)
    assert isinstance(requests, RequestFile)
    return requests


def told(path: Path, rows: Sequence[Any], **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(path, rows, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def found(requests: RequestFile) -> list[Numbered]:
    again = list(requests.numbered())
    assert len(again) == len(requests)
    return again


def test_other_keys_beside_a_prompt_are_columns(tmp_path: Path) -> None:
    rows = [{"prompt": "Hello", "label": 1, "tags": ["a"], "custom_id": "mine"}, {"prompt": "Hi"}]
    one, two = found(read(tmp_path / "in", rows))
    assert (one.request.custom_id, one.beside) == ("mine", Beside(row={"label": 1, "tags": ["a"]}))
    assert (two.request.custom_id, two.beside) == ("line-2", None)
    assert one.request.params == {"messages": [{"role": "user", "content": "Hello"}]}


def test_what_is_not_sent_is_no_part_of_what_makes_a_request_the_same(tmp_path: Path) -> None:
    before = found(read(tmp_path / "a", [{"prompt": "Hello", "label": 1}]))[0].request
    after = found(read(tmp_path / "b", [{"prompt": "Hello", "other": [2]}]))[0].request
    assert digest(dict(before.params), before) == digest(dict(after.params), after)


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ("custom-id", "'custom-id' is taken for a column, and not sent; did you mean 'custom_id'?"),
        ("Prompt", "'Prompt' is taken for a column, and not sent; did you mean 'prompt'?"),
        ("param", "'param' is taken for a column, and not sent; did you mean 'params'?"),
        ("max_tokens", "the column 'max_tokens' is not sent; --param max_tokens=… holds for all requests"),
        ("label", None),
    ],
)
def test_a_column_that_looks_like_a_slip_is_told_once(tmp_path: Path, key: str, remark: str | None) -> None:
    requests = read(tmp_path / "in", [{"prompt": "Hello", key: "x"}] * 3)
    assert requests.remarks == (() if remark is None else (f"{tmp_path / 'in'}:1: {remark}",))


def test_a_column_that_the_template_has_is_no_slip(tmp_path: Path) -> None:
    assert read(tmp_path / "in", [{"q": "Hello", "model": "T"}], template="{{ q }} {{ model }}").remarks == ()


# -- ids


def test_any_text_may_be_an_id(tmp_path: Path) -> None:
    texts = ["good-1", "a b/1", "ünï ©", "x" * 65, 17, "=1", " "]
    requests = found(
        read(tmp_path / "in", [{"prompt": "Hello", "key": text} for text in texts], columns=Columns(id="key"))
    )
    for (_, request, beside), text in zip(requests, texts, strict=True):
        assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", str(request.custom_id))
        assert beside is not None
        assert beside.row == {"key": text}
        if text in ("good-1", 17):
            assert (request.custom_id, beside.id) == (str(text), None)
        else:
            assert beside.id == text
            assert str(request.custom_id).startswith("id-")
    assert len({request.custom_id for _, request, _ in requests}) == len(texts)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "Hello", "key": "a b"}, {"prompt": "Hi", "key": "a b"}],
         ":2: custom_id 'a b' is used already, in line 1"),
        ([{"prompt": "Hello", "key": None}], ":1: column 'key' has the ids: a text or a whole number, not null"),
        ([{"prompt": "Hello", "key": ""}],
         ":1: column 'key' has the ids: a text or a whole number, not an empty string"),
        ([{"prompt": "Hello", "key": True}], ":1: column 'key' has the ids: a text or a whole number, not true"),
        ([{"prompt": "Hello", "key": 1.5}], ":1: column 'key' has the ids: a text or a whole number, not 1.5"),
        ([{"prompt": "Hello", "kex": 1}], ":1: no column 'key'; did you mean 'kex'?"),
        ([{"prompt": "Hello", "id": 1}], ":1: no column 'key'; there are 'prompt', 'id'"),
    ],
)  # fmt: skip
def test_ids_that_are_none(tmp_path: Path, rows: list[Any], message: str) -> None:
    assert told(tmp_path / "in", rows, columns=Columns(id="key")) == message


def test_a_column_of_ids_named_custom_id_is_shown_once(tmp_path: Path) -> None:
    """Else an export would have two columns of this name."""
    requests = read(tmp_path / "in", [{"custom_id": "a b", "prompt": "Hello", "n": 1}], columns=Columns(id="custom_id"))
    ((_, _, beside),) = requests.numbered()
    assert beside is not None
    assert (beside.id, beside.row) == ("a b", {"n": 1})


# -- epochs


def test_epochs_answer_each_row_so_many_times(tmp_path: Path) -> None:
    rows = [{"prompt": "Hello", "key": "a"}, {"prompt": "Hi", "key": "b c"}]
    requests = found(read(tmp_path / "in", rows, columns=Columns(id="key"), epochs=2))
    made = str(requests[2].request.custom_id).removesuffix("__1")
    assert [request.custom_id for _, request, _ in requests] == ["a__1", "a__2", f"{made}__1", f"{made}__2"]
    assert [beside and (beside.id, beside.epoch) for _, _, beside in requests] == [
        (None, 1),
        (None, 2),
        ("b c__1", 1),
        ("b c__2", 2),
    ]
    assert [number for number, _, _ in requests] == [1, 2, 3, 4]


def test_epochs_of_whole_requests(tmp_path: Path) -> None:
    request = {"custom_id": "a", "params": {"messages": [{"role": "user", "content": "Hi"}]}}
    requests = read(tmp_path / "in", [request], epochs=3)
    assert [one.custom_id for one in requests] == ["a__1", "a__2", "a__3"]
    assert requests.where(3) == f"{tmp_path / 'in'}:1"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a__1"], None),
        (["a__1", "a"], None),  # a__1__1, a__1__2, a__1, a__2: all differ
        (["x" * 61], None),
        (["x" * 62],
         ":1: custom_id with '__1' behind it must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not"
         f" \"{'x' * 62}__1\""),
    ],
)  # fmt: skip
def test_epochs_are_checked_for_length(tmp_path: Path, ids: list[str], message: str | None) -> None:
    rows = [{"prompt": "Hello", "custom_id": one} for one in ids]
    if message is None:
        assert len(read(tmp_path / "in", rows, epochs=2)) == 2 * len(ids)
    else:
        assert told(tmp_path / "in", rows, epochs=2) == message


def test_epochs_are_checked_for_clashes(tmp_path: Path) -> None:
    rows = [{"prompt": "Hello", "key": "a b"}, {"prompt": "Hello", "key": "a b__1"}]
    assert len(read(tmp_path / "in", rows, columns=Columns(id="key"), epochs=2)) == 4
    (tmp_path / "in").write_text('{"prompt": "x", "custom_id": "a"}\n{"prompt": "x", "custom_id": "a"}')
    with pytest.raises(InputError, match="custom_id 'a__1' is used already, in line 1"):
        read_requests(tmp_path / "in", epochs=2)


# -- what is wrong with how it is asked for


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"epochs": 0}, "epochs is at least 1"),
        ({"sample": 0}, "sample is at least 1"),
        ({"template": "{{ a }}", "columns": Columns(prompt="a")}, "give one of the two"),
        (
            {"template": "prompt.j2"},
            r"the template 'prompt.j2' has no \{\{ column \}\} in it; the path",
        ),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(tmp_path / "in", [{"prompt": "Hello"}], **options)


@pytest.mark.parametrize("name", ["", 3])
def test_the_name_of_a_column_is_a_text(name: Any) -> None:
    with pytest.raises(TypeError, match=r"Columns.prompt is the name of a column"):
        Columns(prompt=name)
    with pytest.raises(TypeError, match=r"Columns.id is the name of a column"):
        Columns(id=name)


def test_a_column_that_no_row_has_is_told_once(tmp_path: Path) -> None:
    rows = [{"review": "Hello"}] * 20
    assert told(tmp_path / "in", rows, template="{{ revew }}") == (
        ":1: template:1: no column 'revew'; did you mean 'review'?"
    )
