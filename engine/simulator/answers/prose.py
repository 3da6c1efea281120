"""Seeded prose, and the token-like pieces that a text is counted and streamed in."""

from __future__ import annotations

import json
import re
from random import Random

__all__ = ["count_tokens", "json_pieces", "random_prose", "tokenise"]

# About four characters a token in English: short words with the space before them, longer ones in pieces, and
# punctuation on its own. Every character belongs to exactly one piece.
_TOKEN = re.compile(r" ?\w{1,6}|\s+|[^\w\s]")

_VOCABULARY = (
    "the a of and to in that it is was for on are with as at by from this which or an be one all each what when how "
    "river stone light water morning answer question number pattern careful small quiet simple early open between "
    "across toward along beneath through around carries follows becomes remains returns gathers measures explains "
    "suggests consider example result structure reason method surface balance direction distance particular several "
    "slowly often perhaps usually together therefore however almost enough certain different another system language "
    "model window current bridge harbour village mountain season winter summer café naïve façade déjà fjord smörgås "
    "approximately understanding characteristics considerable interesting alternatively relationship"
)
_WORDS = _VOCABULARY.split()
_ENDS = (".", ".", ".", ".", ".", "?", "!", ":", " 🌊.", " → 42.", " — so it goes.")


def tokenise(text: str) -> list[str]:
    """Splits a text into token-like pieces; joined, they are the text again."""
    return _TOKEN.findall(text)


def json_pieces(value: object) -> tuple[str, ...]:
    """Returns a value as the JSON text that a model writes, in such pieces."""
    return tuple(tokenise(json.dumps(value, ensure_ascii=False)))


def count_tokens(text: str) -> int:
    """Returns the number of pieces `tokenise` would make."""
    return sum(1 for _ in _TOKEN.finditer(text))


def random_prose(random: Random, tokens: int) -> list[str]:
    """Returns exactly `tokens` pieces of seeded prose: sentences, now and then a new paragraph."""
    pieces: list[str] = []
    opening = True
    while len(pieces) < tokens:
        words = random.choices(_WORDS, k=random.randint(4, 14))
        words[0] = words[0].capitalize()
        if len(words) > 8:
            words[4] += ","
        gap = "" if opening else random.choice((" ", " ", " ", " ", "\n\n"))
        pieces += tokenise(gap + " ".join(words) + random.choice(_ENDS))
        opening = False
    return pieces[:tokens]
