"""What a command does about a budget that it shares with others: which one it takes, and what it says of it."""

import os
from collections.abc import Callable

import anyio

from ..budget.budget import Budget
from ..budget.given import budget_of
from ..engine import Engine
from ..input import InputError
from .environment import is_local

__all__ = ["budget_by", "tell_of_sharing"]

_SOON = 0.5  # seconds


def budget_by(words: str | None, *, base_url: str | None) -> Budget | None:
    """The budget that `--budget` means. Without it the limits are shared on this host, unless the server stands on this
    machine: a simulator has limits of its own. Raises `InputError` for words that mean none."""
    if words is None:
        words = "off" if is_local(base_url or os.environ.get("ANTHROPIC_BASE_URL")) else "host"
    if words == "off":
        return None
    if words == "ray":
        raise InputError("--budget: ray is for programs in a Ray cluster; a command has host, redis://… or off")
    try:
        return budget_of(words)
    except ImportError as exc:
        raise InputError(f"--budget: {exc}") from None
    except ValueError as exc:
        words = str(exc)
        raise InputError(f"--{words}, or off" if words.startswith("budget ") else f"--budget: {words}") from None


async def tell_of_sharing(engine: Engine, note: Callable[[str], None]) -> None:
    """Says once that others share the limits, and once that the budget can't be reached; then returns. Cancelled, it
    says no more."""
    shared = alone = False
    while not (shared and alone):
        await anyio.sleep(_SOON)
        budget = engine.budget_stats()
        if budget is None:
            return
        others = budget.participants - 1
        if others > 0 and not shared:
            shared = True
            where = "on this host" if budget.on_host else "in this budget"
            note(f"sharing limits with {others} {'other' if others == 1 else 'others'} {where} (--budget off)")
        if budget.alone and not alone:
            alone = True
            note("the shared budget can't be reached: going on with the share that was left (--budget off)")
