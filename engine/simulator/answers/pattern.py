"""Seeded texts that match a regular expression, for schemas with a `pattern`.

Understands what patterns in schemas are made of: letters, classes, groups, alternatives, counts, and the anchors at
either end. What looks around or back is not understood, and no text is found for it.
"""

from __future__ import annotations

import re
import string
from random import Random

__all__ = ["text_matching"]

_TRIES = 20
_MOST = 4  # repeats beyond the fewest, where no end is given
_WORD = string.ascii_letters + string.digits + "_"
_CLASSES = {"d": string.digits, "w": _WORD, "s": " "}
_OUTSIDE = {"D": string.ascii_letters, "W": " -.,", "S": string.ascii_letters + string.digits}
_PLAIN = string.ascii_letters + string.digits + " -"
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")


def text_matching(pattern: str, random: Random, shortest: int = 0, longest: float = float("inf")) -> str | None:
    """Returns a text in which the pattern is found, of a length within the bounds; None when none is come by."""
    try:
        compiled = re.compile(pattern)
        for _ in range(_TRIES):
            text = _Writer(pattern, random).alternatives()
            if shortest <= len(text) <= longest and compiled.search(text):
                return text
    except (re.error, IndexError, _NotUnderstoodError):
        pass
    return None


class _NotUnderstoodError(Exception):
    pass


class _Writer:
    """Reads a pattern from left to right and writes one text that it matches."""

    def __init__(self, pattern: str, random: Random) -> None:
        self._pattern = pattern
        self._random = random
        self._at = 0

    def alternatives(self) -> str:
        """Reads up to the end of a group, or of the pattern."""
        found = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._sequence())
        return self._random.choice(found)

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in ("", "|", ")"):
            start = self._at
            once = self._atom()
            times = self._random.randint(*self._count())
            end = self._at
            parts += [once][:times]
            for _ in range(times - 1):
                self._at = start
                parts.append(self._atom())
            self._at = end
        return "".join(parts)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _atom(self) -> str:
        match character := self._next():
            case "^" | "$":
                return ""
            case ".":
                return self._random.choice(_PLAIN)
            case "[":
                return self._random.choice(self._class())
            case "(":
                return self._group()
            case "\\":
                return self._random.choice(self._escaped())
            case _:
                return character

    def _group(self) -> str:
        if self._peek() == "?":
            kind = re.compile(r"\?(:|P<\w+>)").match(self._pattern, self._at)
            if kind is None:
                raise _NotUnderstoodError
            self._at = kind.end()
        text = self.alternatives()
        self._next()  # its end
        return text

    def _escaped(self) -> str:
        character = self._next()
        if character in "bBAZ" or character.isdigit():
            raise _NotUnderstoodError
        return _CLASSES.get(character) or _OUTSIDE.get(character) or {"n": "\n", "t": "\t"}.get(character, character)

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        members = ""
        while self._peek() != "]" or not members:
            first = self._escaped() if (character := self._next()) == "\\" else character
            if self._peek() == "-" and self._pattern[self._at + 1] != "]" and len(first) == 1:
                self._at += 1
                last = self._escaped() if (character := self._next()) == "\\" else character
                first = "".join(map(chr, range(ord(first), ord(last) + 1)))
            members += first
        self._at += 1
        return "".join(character for character in _PLAIN if character not in members) if negated else members

    def _count(self) -> tuple[int, int]:
        fewest, most = 1, 1
        match self._peek():
            case "?":
                self._at, fewest, most = self._at + 1, 0, 1
            case "*":
                self._at, fewest, most = self._at + 1, 0, _MOST
            case "+":
                self._at, fewest, most = self._at + 1, 1, 1 + _MOST
            case "{" if counted := _COUNT.match(self._pattern, self._at):
                self._at = counted.end()
                fewest = int(counted[1] or 0)
                most = int(counted[3]) if counted[3] else fewest + (_MOST if counted[2] else 0)
            case _:
                return 1, 1
        self._at += self._peek() == "?"  # lazily or not, it is the same
        return fewest, most
