"""`manystream budget`: what was spent under a budget's name, and its account begun anew."""

import sys
from typing import Literal

from ..budget.budget import Budget, CarrierFailed, purse_of
from ..budget.dollars import Allowance, Spending
from ..input import InputError
from .event_loop import run
from .perform import Status
from .telling import fail

__all__ = ["budget"]


def budget(what: Literal["show", "reset"], name: str, *, carrier: str | None) -> Status:
    """Shows what all have spent under the name, or sets it to nothing; returns the exit status."""
    try:
        account = purse_of(name)
        if not name or account is None:
            raise InputError("NAME is the name that engines give their budget; it is empty")
        found = _carrier(carrier, name)
        before = run(lambda: _ask(found, account, Spending(asks="look")), "asyncio")
        if what == "reset":
            run(lambda: _ask(found, account, Spending(asks="reset")), "asyncio")
    except (InputError, CarrierFailed) as exc:
        fail(exc)
        return Status.UNUSABLE
    engines = "" if not before.participants else f" by {before.participants} that are at work, and those before them"
    if what == "show":
        sys.stdout.write(f"${before.spent:.4f} are spent under {name!r}{engines}\n")
        if before.pending > 0:
            sys.stdout.write(f"${before.pending:.4f} more may be: it is allowed to them, or reserved for what runs\n")
    else:
        sys.stdout.write(f"{name!r} begins anew: ${before.spent:.4f} were spent\n")
    return Status.SUCCEEDED


async def _ask(budget: Budget, account: str, report: Spending) -> Allowance:
    try:
        return await budget.exchange(account, report)
    finally:
        await budget.aclose()


def _carrier(words: str | None, name: str) -> Budget:
    try:
        if words in (None, "host"):
            from ..budget.host import HostBudget

            return HostBudget(name=name)
        if words.partition("://")[0] in ("redis", "rediss", "unix"):
            from ..budget.redis import RedisBudget

            return RedisBudget(words, name=name)
    except (ImportError, ValueError) as exc:
        raise InputError(f"--budget: {exc}") from None
    raise InputError("--budget: dollars are counted on this host (host) or on a Redis server (redis://…)")
