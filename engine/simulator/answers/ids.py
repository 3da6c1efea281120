"""Identifiers in the API's style: a prefix that tells the kind, then 22 letters and digits."""

from __future__ import annotations

import string
from random import Random

__all__ = ["identifier"]

_ALPHABET = string.ascii_letters + string.digits


def identifier(prefix: str, random: Random) -> str:
    """Returns for example `msg_01…`; equal seeds make equal identifiers."""
    return f"{prefix}_01{''.join(random.choices(_ALPHABET, k=22))}"
