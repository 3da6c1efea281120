"""What differs between what was answered and what is asked now, said by the parameters' names."""

from typing import Any

import pytest

from manystream import StreamRequest
from manystream.engine.runs.differences import digest, shared_text, what_differs


def text(messages: str = "Hello", **params: Any) -> str:
    request = StreamRequest(messages, betas=params.pop("betas", ()), extra_body=params.pop("extra_body", None))
    return shared_text({**request.params, **params}, request)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (text(model="A"), text(model="B"), "model was A, is B"),
        (text(max_tokens=5), text(max_tokens=7), "max_tokens was 5, is 7"),
        (text(), text(temperature=0.5), "temperature was not given, is 0.5"),
        (text(system="secret"), text(system="another secret"), "system differs"),
        (text(tools=[{"name": "a"}]), text(), "tools differs"),
        (text(betas=["a"]), text(betas=["b"]), "betas differs"),
        (text(extra_body={"new": 1}), text(extra_body={"new": 2}), "new was 1, is 2"),
        (text("Hello"), text("Good day"), "messages differ"),
        (text(a=1, b=1, c=1, d=1), text(a=2, b=2, c=2, d=2), "a was 1, is 2; b was 1, is 2; c was 1, is 2; and more"),
        (None, text(), ""),
        (text(), None, ""),
        ("no JSON", "[]", "messages differ"),
    ],
)
def test_one_change(was: str | None, now: str | None, said: str) -> None:
    assert what_differs([(was, now, 1)]) == said
    assert "secret" not in f"{was}{now}"


def test_many_changes_are_summed_up_by_parameter() -> None:
    pairs = [
        (text(model="A", max_tokens=5), text(model="B", max_tokens=5), 300),
        (text(model="A", max_tokens=6), text(model="B", max_tokens=7), 180),
        (text(model="A"), text(model="A"), 1),
    ]
    assert what_differs(pairs) == "model was A, is B; max_tokens was 6, is 7; messages differ"
    pairs.append((text(model="C"), text(model="B"), 1))
    assert what_differs(pairs).startswith("model differs; ")


def test_what_is_the_same_has_the_same_hash() -> None:
    request = StreamRequest("Hello")
    assert digest({"a": 1, "b": 2}, request) == digest({"b": 2, "a": 1}, request)
    assert digest({"a": 1}, request) != digest({"a": 1}, StreamRequest("Hello", extra_body={"a": 1}))
