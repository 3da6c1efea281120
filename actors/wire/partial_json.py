"""JSON that arrives in pieces, such as a tool's arguments, and its best parse so far.

The machine is a stack of open containers and one state. A state is a function `(parser, text, position) -> position`:
it reads what it knows, sets the state that follows, and returns the position up to which it has read. Text may be cut
anywhere. Strings and numbers therefore are states, which go on with the next piece; only an escape or a word cut in
two is held back and read again, at most eleven characters, so that the whole is linear in the text.

What still grows lies on the way to where the text stops: it is an open container, or the string at its end. So the
stack answers for any value whether it is whole, and no value needs a mark of its own.

One short cut: a run of members or items that are all there, which a regular expression finds, goes to the `json`
module. It takes only what the states would take, and makes common JSON several times faster; so does `_plain_name`.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, cast

__all__ = ["JsonPath", "PartialJSON", "ValueState"]

JsonPath: TypeAlias = tuple[str | int, ...]
"""The way from a JSON value to one inside it: names of members and numbers of items."""

ValueState: TypeAlias = Literal["pending", "growing", "complete"]
"""How far a value has come: there is nothing of it yet, more of it may come, or it is whole."""

_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_WORD_BY_LETTER = {word[0]: word for word in _WORDS}

# Where a number stands, and what each character makes of it.
_NUMBER: dict[str, dict[str, str]] = {
    state: {character: following for characters, following in row.items() for character in characters}
    for state, row in {
        "": {"-": "sign", "0": "zero", "123456789": "integer"},
        "sign": {"0": "zero", "123456789": "integer"},
        "zero": {".": "point", "eE": "e"},
        "integer": {"0123456789": "integer", ".": "point", "eE": "e"},
        "point": {"0123456789": "fraction"},
        "fraction": {"0123456789": "fraction", "eE": "e"},
        "e": {"+-": "exponent sign", "0123456789": "exponent"},
        "exponent sign": {"0123456789": "exponent"},
        "exponent": {"0123456789": "exponent"},
    }.items()
}
_NUMBER_ENDS: dict[str, type[int] | type[float]] = {
    "zero": int,
    "integer": int,
    "fraction": float,
    "exponent": float,
}

_SPACE = " \t\n\r"
_parse = json.JSONDecoder().raw_decode
_not_space = re.compile(r"[^ \t\n\r]").search
_plain_name = re.compile(r'[ \t\n\r]*+"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+').match
_string_run = re.compile(r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+').match
_cut_escape = re.compile(r"\\(?:u[0-9a-fA-F]{0,3}+)?+").match


def _runs() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The patterns of a run of members and of a run of items. Group 1 is the run, group 2 the comma or the end."""
    s = r"[ \t\n\r]*+"
    string = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
    fraction = r"(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"
    number = rf"-?+(?:0|[1-9][0-9]{{0,99}}+){fraction}(?=[ \t\n\r,\]}}])"  # Python refuses very long integers
    item = rf"(?:{string}|{number}|true|false|null)"

    def row(one: str) -> str:
        return rf"{one}(?:{s},{s}{one})*+"

    def member(value: str) -> str:
        return rf"{string}{s}:{s}{value}"

    flat = rf"(?:{item}|\[{s}(?:{row(item)}{s})?+\]|\{{{s}(?:{row(member(item))}{s})?+\}})"
    return re.compile(rf"{s}({row(member(flat))}){s}([,}}])?+"), re.compile(rf"{s}({row(flat)}){s}([,\]])?+")


_members, _items = (pattern.match for pattern in _runs())


class PartialJSON:
    """An incremental and strict parser (RFC 8259) of one JSON value. It never raises, whatever it is fed.

    How the text is cut changes neither the value nor the verdict.
    """

    __slots__ = (
        "_held",
        "_hidden",
        "_invalid_at",
        "_keys",
        "_name",
        "_number",
        "_number_state",
        "_open",
        "_read",
        "_root",
        "_state",
        "strings",
    )

    def __init__(self) -> None:
        self._root: list[Any] = []  # what the value itself stands in, once it has begun
        self._open: list[Any] = [self._root]  # the containers around the present position, innermost last
        self._keys: list[str | int] = []  # where each of them, but for the first, stands in the one before
        self._state: _State = PartialJSON._value
        self._name = ""  # the name of the present member
        self._number = ""  # the text of the present number, and where in `_NUMBER` it stands
        self._number_state = ""
        self._held = ""  # to be read again with the next piece
        self._read = 0  # characters done with
        self._invalid_at: int | None = None
        self._hidden: str | None = None  # the growing string, while None stands in its place
        self.strings = 0
        """How many strings have begun that were not whole in their piece: it changes with what grows."""

    def feed(self, text: str) -> None:
        """Read the next piece. After text that can't be JSON, pieces are ignored."""
        if self._invalid_at is not None:
            return
        if self._hidden is not None:
            self._open[-1][self._slot], self._hidden = self._hidden, None
        if self._held:
            text, self._held = self._held + text, ""
        position, end = 0, len(text)
        while position < end:
            position = self._state(self, text, position)
        self._read += end - len(self._held)

    @property
    def value(self) -> Any:
        """The best parse so far: a dict, a list or a scalar; None when nothing is known yet.

        It is live: the same object every time, which grows as text comes. Do not change it, and copy what you keep.
        Open containers and strings are shown as far as they are known. Left out are a name whose value has not begun,
        a word cut in two, half an escape, and a number until something follows it: the beginning of a string is a part
        of it, but 1 is no part of 1200. Nothing need follow a number that is the whole document, so that one is shown
        as soon as it is a number, and converted each time this is read; everything else is ready when read.
        """
        if self._root:
            return self._root[0]
        return self._number_so_far() if self._state is PartialJSON._number_rest else None

    @property
    def complete(self) -> bool:
        """Whether the text so far is a whole JSON value. Only a number that is the whole document can still change."""
        if self._invalid_at is not None:
            return False
        return self._state is PartialJSON._end or (not self._root and self.value is not None)

    @property
    def invalid(self) -> bool:
        """Whether the text is no JSON and can't become any. The value then stays as it was."""
        return self._invalid_at is not None

    @property
    def invalid_at(self) -> int | None:
        """The position, from the beginning of the text, of the first character that JSON doesn't allow there."""
        return self._invalid_at

    # What still grows.

    @property
    def in_string(self) -> bool:
        """Whether the text stops inside a string that is a value. It grows at the end of `open_path`."""
        return self._state is PartialJSON._string_rest

    @property
    def open_path(self) -> JsonPath:
        """The way to what grows: to the string that the text stops in, otherwise to the innermost open container."""
        if self.in_string and len(self._open) > 1:
            container = self._open[-1]
            return (*self._keys[1:], self._name if type(container) is dict else len(container) - 1)
        return tuple(self._keys[1:])

    def state(self, path: Sequence[str | int] = ()) -> ValueState:
        """How far the value at `path` has come; the empty path is the whole. It takes as long as the path.

        `pending`: nothing of it has come, or it is a number or a word that has not ended. `growing`: an object, an
        array or a string that has not ended, or a number that is the whole document. `complete`: it is whole. A
        negative number counts items from the last one that has come. After text that can't be JSON, what was growing
        stays `growing`.
        """
        root, stack = self._root, self._open
        if not root:
            return "growing" if not path and self.value is not None else "pending"
        value, around, key = root[0], root, 0
        for key in path:
            kind = value.__class__
            if kind is dict:
                if key not in value:
                    return "pending"
            elif kind is list and type(key) is int:
                if key < 0:
                    key += len(value)
                if not 0 <= key < len(value):
                    return "pending"
            else:
                return "pending"
            around, value = value, value[key]
        kind = value.__class__
        if kind is dict or kind is list:
            depth = len(path) + 1  # no container stands in two places: it is open if it is the one in its place
            return "growing" if len(stack) > depth and stack[depth] is value else "complete"
        if around is stack[-1] and self._state is _STRING_REST:
            tip = self._name if type(around) is dict else len(around) - 1
            return "growing" if key == tip else "complete"
        return "complete"

    def whole_items(self, array: list[Any], depth: int) -> int:
        """How many items of an array are whole, that stands in so many containers and is the latest there."""
        stack, count = self._open, len(array)
        if len(stack) <= depth + 1 or stack[depth + 1] is not array:
            return count
        return count - 1 if len(stack) > depth + 2 or self._state is PartialJSON._string_rest else count

    def hide_growing_string(self) -> None:
        """Has the value show None in place of the string that the text stops in, until the next piece is fed. For
        strings whose beginning says nothing: half a date is no date."""
        if self._hidden is None and self.in_string and self._invalid_at is None:
            container, slot = self._open[-1], self._slot
            self._hidden, container[slot] = container[slot], None

    @property
    def _slot(self) -> Any:
        """Where the string that the text stops in stands in its container."""
        return self._name if type(self._open[-1]) is dict else -1

    # What the states do.

    def _put(self, value: Any) -> None:
        """Add a value, whole or just begun, to the innermost container."""
        container = self._open[-1]
        if type(container) is dict:
            container[self._name] = value
        else:
            container.append(value)
        self._state = PartialJSON._after if len(self._open) > 1 else PartialJSON._end

    def _enter(self, container: dict[str, Any] | list[Any], state: "_State") -> None:
        self._put(container)
        around = self._open[-1]
        self._keys.append(self._name if type(around) is dict else len(around) - 1)
        self._open.append(container)
        self._state = state

    def _leave(self) -> None:
        self._open.pop()
        self._keys.pop()
        self._state = PartialJSON._after if len(self._open) > 1 else PartialJSON._end

    def _hold(self, text: str, position: int) -> int:
        self._held = text[position:]
        return len(text)

    def _fail(self, text: str, position: int) -> int:
        self._invalid_at = self._read + position
        return len(text)

    # The states between tokens.

    def _first_item(self, text: str, position: int) -> int:
        found = _not_space(text, position)
        if found is None:
            return len(text)
        if found[0] == "]":
            self._leave()
            return found.end()
        return self._item(text, found.start())

    def _item(self, text: str, position: int) -> int:
        run = _items(text, position)
        if run is None:
            return self._value(text, position)
        self._open[-1].extend(_parse(f"[{run[1]}]")[0])
        if run[2] == "]":
            self._leave()
        else:
            self._state = PartialJSON._item if run[2] else PartialJSON._after
        return run.end()

    def _first_member(self, text: str, position: int) -> int:
        found = _not_space(text, position)
        if found is None:
            return len(text)
        if found[0] == "}":
            self._leave()
            return found.end()
        return self._member(text, found.start())

    def _member(self, text: str, position: int) -> int:
        run = _members(text, position)
        if run is None:
            return self._begin_name(text, position)
        self._open[-1].update(_parse(f"{{{run[1]}}}")[0])
        if run[2] == "}":
            self._leave()
        else:
            self._state = PartialJSON._member if run[2] else PartialJSON._after
        return run.end()

    def _begin_name(self, text: str, position: int) -> int:
        if plain := _plain_name(text, position):
            self._name, self._state = plain[1], PartialJSON._value
            return plain.end()
        found = _not_space(text, position)
        if found is None:
            return len(text)
        if found[0] != '"':
            return self._fail(text, found.start())
        self._name, self._state = "", PartialJSON._name_rest
        return found.end()

    def _colon(self, text: str, position: int) -> int:
        found = _not_space(text, position)
        if found is None:
            return len(text)
        if found[0] != ":":
            return self._fail(text, found.start())
        self._state = PartialJSON._value
        return found.end()

    def _value(self, text: str, position: int) -> int:
        sign = text[position]
        if sign in _SPACE:  # mostly it isn't, and a look is cheaper than a search
            found = _not_space(text, position)
            if found is None:
                return len(text)
            position, sign = found.start(), found[0]
        if sign == '"':
            self.strings += 1
            self._put("")
            self._state = PartialJSON._string_rest
        elif sign == "{":
            self._enter({}, PartialJSON._first_member)
        elif sign == "[":
            self._enter([], PartialJSON._first_item)
        elif sign in _NUMBER[""]:
            self._number, self._number_state, self._state = "", "", PartialJSON._number_rest
            return position
        else:
            return self._word(text, position)
        return position + 1

    def _after(self, text: str, position: int) -> int:
        sign = text[position]
        if sign in _SPACE:
            found = _not_space(text, position)
            if found is None:
                return len(text)
            position, sign = found.start(), found[0]
        in_object = type(self._open[-1]) is dict
        if sign == ",":
            self._state = PartialJSON._member if in_object else PartialJSON._item
        elif sign == ("}" if in_object else "]"):
            self._leave()
        else:
            return self._fail(text, position)
        return position + 1

    def _end(self, text: str, position: int) -> int:
        found = _not_space(text, position)
        return self._fail(text, found.start()) if found else len(text)

    # The states within tokens.

    def _word(self, text: str, position: int) -> int:
        word = _WORD_BY_LETTER.get(text[position])
        if word is None:
            return self._fail(text, position)
        for at, letter in enumerate(word, position):
            if at == len(text):
                return self._hold(text, position)
            if text[at] != letter:
                return self._fail(text, at)
        self._put(_WORDS[word])
        return position + len(word)

    def _name_rest(self, text: str, position: int) -> int:
        position, piece, ended = self._string_piece(text, position)
        name, self._name = self._name, ""
        name += piece
        self._name = name
        if ended:
            self._state = PartialJSON._colon
        return position

    def _string_rest(self, text: str, position: int) -> int:
        position, piece, ended = self._string_piece(text, position)
        container = self._open[-1]
        slot = self._name if type(container) is dict else -1
        # CPython appends in place only to a string that nothing else refers to. So empty its slot first, or every
        # piece would copy all that came before. (Popping it instead would change the order of a dict.)
        string = cast(str, container[slot])
        container[slot] = ""
        string += piece
        container[slot] = string
        if ended:
            self._state = PartialJSON._after if len(self._open) > 1 else PartialJSON._end
        return position

    def _string_piece(self, text: str, position: int) -> tuple[int, str, bool]:
        """Read on in a string. Returns the new position, what was read, and whether the string has ended."""
        run = _string_run(text, position)
        stop = run.end() if run else position
        piece = text[position:stop]
        if "\\" in piece:
            piece = cast(str, _parse(f'"{piece}"')[0])
        if text.startswith('"', stop):
            return stop + 1, piece, True
        escape = _cut_escape(text, stop) if stop < len(text) else None
        if (cut := escape.end() if escape else stop) < len(text):
            return self._fail(text, cut), piece, False
        if "\ud800" <= piece[-1:] <= "\udbff" and text[stop - 1] != piece[-1]:  # half a pair: the other half may come
            piece, stop = piece[:-1], stop - len(r"\ud800")
        return self._hold(text, stop), piece, False

    def _number_rest(self, text: str, position: int) -> int:
        start, state = position, self._number_state
        while position < len(text) and (following := _NUMBER[state].get(text[position])):
            state = following
            position += 1
        number, self._number = self._number, ""
        number += text[start:position]
        self._number, self._number_state = number, state
        if position < len(text):
            value = self._number_so_far()
            if value is None:
                return self._fail(text, position)
            self._put(value)
        return position

    def _number_so_far(self) -> int | float | None:
        """The number; None when it isn't one yet, or when it has more digits than Python converts (4300)."""
        convert = _NUMBER_ENDS.get(self._number_state)
        try:
            return convert(self._number) if convert else None
        except ValueError:
            return None


_State = Callable[[PartialJSON, str, int], int]
_STRING_REST = PartialJSON._string_rest  # pyright: ignore[reportPrivateUsage]
