"""Prompts from templates: strict, with the template's line in every error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manystream.engine.input import InputError
from manystream.engine.input.template import Template


@pytest.mark.parametrize(
    ("text", "row", "prompt"),
    [
        ("Say {{ word }}.", {"word": "hi"}, "Say hi."),
        ("{{ row['my word'] }}", {"my word": "hi"}, "hi"),
        ("{{ row }}", {"row": "mine"}, "mine"),
        ("<{{ note }}>", {"note": None}, "<>"),
        ("{{ tags }} {{ fields }}", {"tags": ["a", "ü"], "fields": {"b": None}}, '["a", "ü"] {"b": null}'),
        ("{% if note is defined %}{{ note }}{% else %}none{% endif %}", {}, "none"),
        ("{% for tag in tags %}{{ loop.index }}{{ tag }} {% endfor %}", {"tags": ["a", "b"]}, "1a 2b "),
        ("{{ text | upper }}\n", {"text": "<b>"}, "<B>"),
        ("{{ price * 2 }}", {"price": 1.5}, "3.0"),
    ],
)
def test_a_prompt_is_made_of_a_row(text: str, row: dict[str, Any], prompt: str) -> None:
    assert Template(text).render("in:1", row) == prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello\n{{ wrod }}", "in:7: template:2: no column 'wrod'; did you mean 'word'?"),
        ("{{ zzz }}", "in:7: template:1: no column 'zzz'; there are 'word', 'n'"),
        ("{% if zzz %}{% endif %}", "in:7: template:1: no column 'zzz'; there are 'word', 'n'"),
        ("{{ word.lenght }}", "in:7: template:1: 'str object' has no attribute 'lenght'"),
        ("\n\n{{ n / 0 }}", "in:7: template:3: ZeroDivisionError: division by zero"),
        ("{{ word + n }}", 'in:7: template:1: TypeError: can only concatenate str (not "int") to str'),
        (
            "{{ word.__class__.__mro__ }}",
            "in:7: template:1: access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{% include 'other' %}", "in:7: template:1: TypeError: no loader for this environment specified"),
        ("{{ row.wrod }}", "in:7: template:1: no column 'wrod'; did you mean 'word'?"),
        ("{{ row['a b'] }}", "in:7: template:1: no column 'a b'; there are 'word', 'n'"),
    ],
)
def test_what_is_wrong_in_a_row_is_told_with_both_places(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text).render("in:7", {"word": "hi", "n": 1})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Hello\n{{ word",
            "template:2: not a Jinja template: unexpected end of template, expected 'end of print statement'.",
        ),
        ("{% if %}", "template:1: not a Jinja template: Expected an expression, got 'end of statement block'"),
        ("{{ word | nothing }}", "template:1: not a Jinja template: No filter named 'nothing'."),
    ],
)
def test_what_is_no_template(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text)
    assert str(caught.value) == message


def test_a_file_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "rules.md").write_text("Be brief.\n{{ rule }}")
    path = tmp_path / "prompt.j2"
    path.write_bytes("\ufeff{% include 'rules.md' %} {{ word }}\n".encode())
    template = Template.of(path)
    assert template is not None
    assert template.render("in:1", {"word": "hi", "rule": "No lists."}) == "Be brief.\nNo lists. hi"
    with pytest.raises(InputError, match=r"^in:1: .*rules.md:2: no column 'rule'; there are 'word'$"):
        template.render("in:1", {"word": "hi"})


def test_only_files_beside_it_are_included(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("secret")
    for name in ("absent", "../secret", str(tmp_path / "secret")):
        path = tmp_path / "in" / "prompt.j2"
        path.write_text(f"{{% include '{name}' %}}")
        with pytest.raises(InputError) as caught:
            Template.read(path).render("in:1", {})
        assert str(caught.value) == f"in:1: {path}:1: no file {name!r} beside it"


@pytest.mark.parametrize("text", ["Is this positive?", "Is this positive? {review}", "Is this positive? $review"])
def test_a_template_that_is_the_same_for_all_rows_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompt.j2"
    path.write_text(text)
    with pytest.raises(InputError, match=r"prompt.j2: has no {{ column }} in it, so that all rows would get the same"):
        Template.of(path)
    with pytest.raises(ValueError, match=r"has no {{ column }} in it; the path of a file is a Path"):
        Template.of(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: no such file or directory"):
        Template.read(tmp_path / "absent")
    (tmp_path / "latin").write_bytes(b"na\xefve")
    with pytest.raises(InputError, match="latin: not UTF-8: invalid continuation byte at byte 3"):
        Template.read(tmp_path / "latin")
