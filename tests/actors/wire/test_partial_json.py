"""`PartialJSON` reads any JSON cut anywhere as `json.loads` reads it whole, shows a prefix of it meanwhile, and is
linear."""

import gc
import json
import random
import time
import weakref
from itertools import accumulate, pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors.wire.partial_json import PartialJSON

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(st.characters(categories=["Cs", "Lu", "So"]))  # lone surrogates and characters beyond the BMP
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
)
layouts = st.sampled_from([None, 0, 1, "\t"])


def dump(document: Any, indent: int | str | None, ensure_ascii: bool) -> str:
    return json.dumps(document, indent=indent, ensure_ascii=ensure_ascii)


texts = st.builds(dump, documents, layouts, st.booleans())
almost_json = st.text(st.sampled_from(list('{}[]":,\\ua8dDc019-+.eEtrufalsn \n\x01é')), max_size=30)


def cut(text: str, at: list[int]) -> list[str]:
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    return [text[start:stop] for start, stop in pairwise(places)]


def parse(*pieces: str) -> PartialJSON:
    parser = PartialJSON()
    for piece in pieces:
        parser.feed(piece)
    return parser


def verdict(parser: PartialJSON) -> tuple[str, bool, bool, int | None]:
    return repr(parser.value), parser.complete, parser.invalid, parser.invalid_at


def is_prefix(partial: Any, whole: Any) -> bool:
    """A string is a prefix of a longer one; a list or dict of one that goes on, in the same order, after its last
    entry, which is itself a prefix; anything else only of itself."""
    if isinstance(partial, str) and isinstance(whole, str):
        return whole.startswith(partial)
    if type(partial) is not type(whole):
        return False
    if isinstance(partial, dict):
        ours, theirs = cast(dict[str, Any], partial), cast(dict[str, Any], whole)
        return is_prefix([*ours.keys()], [*theirs.keys()][: len(ours)]) and is_prefix(
            [*ours.values()], [*theirs.values()]
        )
    if isinstance(partial, list):
        ours, theirs = cast(list[Any], partial), cast(list[Any], whole)
        if len(ours) > len(theirs):
            return False
        return not ours or (ours[:-1] == theirs[: len(ours) - 1] and is_prefix(ours[-1], theirs[len(ours) - 1]))
    return partial == whole


@given(texts, st.lists(st.integers(0, 10_000)))
def test_any_document_cut_anywhere_ends_as_json_loads_has_it(text: str, at: list[int]) -> None:
    parser = parse(*cut(text, at))
    assert repr(parser.value) == repr(json.loads(text))
    assert parser.complete
    assert not parser.invalid


@given(texts)
def test_at_each_character_the_value_is_a_prefix_of_the_final_one(text: str) -> None:
    parser, whole = PartialJSON(), json.loads(text)
    for character in text:
        parser.feed(character)
        alone = isinstance(whole, int | float) and not isinstance(
            whole, bool
        )  # such a number is shown as far as it is one
        assert parser.value is None or alone or is_prefix(parser.value, whole)


@given(texts | almost_json, st.lists(st.integers(0, 10_000)))
def test_how_it_is_cut_changes_nothing(text: str, at: list[int]) -> None:
    assert verdict(parse(*cut(text, at))) == verdict(parse(text)) == verdict(parse(*text))


def constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@given(almost_json)
def test_complete_means_that_json_loads_takes_it(text: str) -> None:
    parser = parse(*text)
    try:
        whole = json.loads(text, parse_constant=constant)
    except ValueError as error:
        assert not parser.complete
        if isinstance(error, json.JSONDecodeError) and parser.invalid:
            assert not any(parse(text, more).complete for more in ('"', "]", "}", "0", "null"))
    else:
        assert parser.complete
        assert repr(parser.value) == repr(whole)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" ", None),
        ("{", {}),
        ('{"', {}),
        ('{"na', {}),
        ('{"name"', {}),
        ('{"name":', {}),
        ('{"name": "', {"name": ""}),
        ('{"name": "Ad', {"name": "Ad"}),
        ('{"a": tru', {}),
        ('{"a": 12', {}),
        ('{"a": 12,', {"a": 12}),
        ('{"a": 12}', {"a": 12}),
        ('{"a": [1, 2', {"a": [1]}),
        ('{"a": {"b": [{"c": "d', {"a": {"b": [{"c": "d"}]}}),
        ('["a\\', ["a"]),
        ('["a\\u12', ["a"]),
        ('["a\\ud83d', ["a"]),
        ('["a\\ud83d\\ude0', ["a"]),
        ('["a\\ud83d\\ude00', ["a\U0001f600"]),
        ('["a\\ud83d\\n', ["a\ud83d\n"]),
        ('["a\\ud83d"', ["a\ud83d"]),
        ('["\\\\ud83d', ["\\ud83d"]),
        ('{"a": 1, "b": 2, "a": "x', {"a": "x", "b": 2}),
        ("-", None),
        ("-1", -1),
        ("1.", None),
        ("1.5", 1.5),
        ("1.5e", None),
        ("1.5e3", 1500.0),
    ],
)
def test_what_is_shown_of_the_beginning_of_a_document(text: str, value: Any) -> None:
    for parser in (parse(text), parse(*text)):
        assert repr(parser.value) == repr(value)
        assert not parser.invalid


@pytest.mark.parametrize(
    ("text", "position", "value"),
    [
        ("x", 0, None),
        ("\ufeff{}", 0, None),
        ("NaN", 0, None),
        ("-Infinity", 1, None),
        ("nul1", 3, None),
        ("01", 1, 0),
        ("1.a", 2, None),
        ("+1", 0, None),
        ("{} {", 3, {}),
        ("1,", 1, 1),
        ('{"a": 1,}', 8, {"a": 1}),
        ('{"a" 1}', 5, {}),
        ("{'a': 1}", 1, {}),
        ("[1, 2 3]", 6, [1, 2]),
        ("[1,]", 3, [1]),
        ("[,1]", 1, []),
        ("[1}", 2, [1]),
        ('{"a": [true}', 11, {"a": [True]}),
        ('["a\nb"]', 3, ["a"]),
        ('["a\\x"]', 4, ["a"]),
        ('["a\\u00g0"]', 7, ["a"]),
        ('["a\\ud83d\\u00g0"]', 13, ["a\ud83d"]),
        ('{"a": 1, "b": [2, tru]}', 21, {"a": 1, "b": [2]}),
        ("[" + "1" * 5000 + "]", 5001, []),
    ],
)
def test_what_is_not_json_is_pointed_out_and_the_rest_ignored(text: str, position: int, value: Any) -> None:
    for parser in (parse(text), parse(*text)):
        before = verdict(parser)
        assert before == (repr(value), False, True, position)
        parser.feed('"]}')
        parser.feed("")
        assert verdict(parser) == before


def test_the_value_is_one_live_object() -> None:
    parser = parse('{"a": ["x')
    value = parser.value
    parser.feed('yz", 1], "b": {}}')
    assert parser.value is value
    assert value == {"a": ["xyz", 1], "b": {}}


def test_only_a_number_that_stands_alone_can_change_once_complete() -> None:
    parser = parse("12")
    assert (parser.value, parser.complete) == (12, True)
    parser.feed(".")
    assert (parser.value, parser.complete) == (None, False)
    parser.feed("5 ")
    assert (parser.value, parser.complete) == (12.5, True)


def test_a_hundred_thousand_levels() -> None:
    for opening, middle, closing in (("[", "", "]"), ('{"a":', "1", "}")):
        parser = parse(opening * 100_000, middle, closing * 100_000)
        assert parser.complete
        depth, value = 0, parser.value
        while isinstance(value, list | dict) and value:
            depth, value = depth + 1, cast(Any, value[0] if isinstance(value, list) else value["a"])
        assert depth >= 99_999


def test_it_is_freed_at_once() -> None:
    parser = parse('{"a": ["x')

    class Witness:
        pass

    witness = Witness()
    reference = weakref.ref(witness)
    parser.value["witness"] = witness
    gc.disable()
    try:
        del parser, witness
        assert reference() is None
    finally:
        gc.enable()


MEGABYTE = 1_000_000
records = [{"id": number, "name": f"n{number}", "ok": True, "ratio": number * 1.5} for number in range(MEGABYTE // 60)]
LARGE = {
    "one string": json.dumps({"a": "x" * MEGABYTE}),
    "one wide string": json.dumps({"a": "xé€😀" * (MEGABYTE // 4)}, ensure_ascii=False),
    "one string, escaped": json.dumps({"a": 'é\n😀"' * (MEGABYTE // 24)}),
    "strings in nested dicts": json.dumps({"a": {"b": [{"c": "y" * (MEGABYTE // 4)}] * 4}}),
    "one name": json.dumps({"k" * MEGABYTE: 1}),
    "many names": json.dumps({f"key{number}": number for number in range(MEGABYTE // 18)}),
    "one name, many times": "{" + ",".join(f'"a":{number % 10}' for number in range(MEGABYTE // 6)) + "}",
    "records": json.dumps(records),
    "records, indented": json.dumps(records[: MEGABYTE // 90], indent=2),
    "digits": json.dumps([number % 10 for number in range(MEGABYTE // 3)]),
    "one number": f"[1.{'1' * MEGABYTE}]",
    "space": f"[{' ' * MEGABYTE}]",
    "depth": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_megabyte_in_20000_pieces_is_linear(name: str) -> None:
    text = LARGE[name]
    size = -(-len(text) // 20_000)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    parser = PartialJSON()
    began = time.process_time()
    for piece in pieces:
        parser.feed(piece)
        _ = parser.value
    took = time.process_time() - began
    assert parser.complete
    if name != "depth":  # json.loads gives up long before
        assert parser.value == json.loads(text)
    assert took < 2, "0.1 to 0.4 s is usual; copying at each piece takes 10 s"


@pytest.mark.parametrize("seed", range(5))
def test_one_piece_or_a_thousand_sizes_of_it(seed: int) -> None:
    text = LARGE["records, indented"][:50_000]
    chance = random.Random(seed)
    places = [*accumulate(chance.choice((1, 2, 3, 50, 400)) for _ in range(1000))]
    assert verdict(parse(*cut(text, [place for place in places if place <= len(text)]))) == verdict(parse(text))
