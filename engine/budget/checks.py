"""What is checked of every kind of budget."""

from ...actors.stream import check_kind, check_number

__all__ = ["check_shares"]


def check_shares(name: object, weight: object, priority: object, spend_cap: object = None) -> None:
    """Raises `TypeError` and `ValueError` for what is no name, weight, priority or cap, or for a cap without a name."""
    if name is not None:
        check_kind("name", name, str, "a text that others give, too, or None")
        if not name:
            raise ValueError("name is a text that others give, too, or None; it is empty")
    check_number("weight is a finite number above 0", weight, above=0)
    check_number("priority is a whole number", priority, whole=True)
    if spend_cap is not None:
        check_number("spend_cap is a number of dollars above 0, or None", spend_cap, above=0)
        if name is None:
            raise ValueError("spend_cap needs a name=: whoever gives the same name spends from the same cap")
