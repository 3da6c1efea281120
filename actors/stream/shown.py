"""A value shown to people at a prompt or in a notebook: a few lines of facts, and a message's content as HTML.

Everything is escaped: what a model wrote, and names that others chose, are text and never markup.
"""

import html
from collections.abc import Iterable, Sequence

from ..message import Part, TextPart, ThinkingPart, ToolCallPart, mended
from ..wire import plain_text

__all__ = ["as_html", "as_lines", "one_line"]

Fact = tuple[str, str]
"""A label, which may be empty, and what is said under it."""

_MOST_CHARACTERS = 50_000  # of each part: a notebook keeps what it shows

# Colours of the surrounding page, light or dark.
_TEXT_STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.5em 0;padding:0;background:none;color:inherit"
_FACTS_STYLE = "opacity:.75;font-size:.9em"


def one_line(value: object) -> str:
    """A name that others chose, in one line."""
    return plain_text(str(value))


def as_lines(name: str, facts: Iterable[Fact]) -> str:
    """A repr of a few lines."""
    told = "\n  ".join(f"{label} {text}" if label else text for label, text in facts)
    return f"<{name} {told}>"


def as_html(facts: Iterable[Fact], parts: Sequence[Part]) -> str:
    """The facts in one row, and below them what the model wrote: text as it is, thinking folded, calls by name."""
    told = " · ".join(_escaped(f"{label} {text}" if label else text) for label, text in facts)
    return f'<div><div style="{_FACTS_STYLE}">{told}</div>{"".join(map(_part_html, parts))}</div>'


def _part_html(part: Part) -> str:
    match part:
        case TextPart(content=text):
            return _block(text)
        case ThinkingPart(content=text):
            return f"<details><summary>thinking</summary>{_block(text)}</details>"
        case ToolCallPart(tool_name=name, args=args):
            return f"<div><b>{_escaped(one_line(name))}</b>{_block(args)}</div>"
        case _:
            return f'<div style="{_FACTS_STYLE}">{_escaped(part.part_kind)}</div>'


def _block(text: str) -> str:
    left = len(text) - _MOST_CHARACTERS
    more = f"\n… {left:,} more characters" if left > 0 else ""
    return f'<pre style="{_TEXT_STYLE}">{_escaped(text[:_MOST_CHARACTERS] + more)}</pre>' if text else ""


def _escaped(text: str) -> str:
    # Half a surrogate pair would fail the notebook that writes it.
    return html.escape(mended(text))
