"""What is said when an option of the command line replaces what the requests of the input say themselves."""

from collections.abc import Mapping
from typing import Any

__all__ = ["replaced"]

_WHAT = {"model": "models", "max_tokens": "max_tokens", "system": "system prompts"}


def replaced(counts: Mapping[str, int], parameters: Mapping[str, Any]) -> list[str]:
    """A line for each of `parameters` that replaced other values, with the number of requests that had them."""
    return [
        f"{_option(name, parameters[name])} replaces the {_WHAT.get(name, name)} of {count:,}"
        f" {'request' if count == 1 else 'requests'}"
        for name, count in counts.items()
        if count
    ]


def _option(name: str, value: object) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if name == "system" else f"{option} {value}"  # a prompt may be long, and is nobody else's to read
