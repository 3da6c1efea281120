"""Numbers and words in the form in which people read them."""

__all__ = ["compact", "cost", "duration", "plain", "printable", "rate", "seconds", "shares", "shorten", "whole"]


def seconds(value: float | None) -> str:
    """A time with three digits and the unit that fits; `-` for None."""
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 100 else duration(value)


def duration(value: float) -> str:
    """A time in its two largest units, such as `1 h 20 min`; in one when the other would be 0."""
    for end, size, small, large in ((60, 1, "", "s"), (3600, 60, "s", "min"), (86400, 3600, "min", "h")):
        least = max(1, size // 60)
        whole = least * round(max(0.0, value) / least)
        if whole < end:
            return _two(whole, size, large, least, small)
    return _two(3600 * round(value / 3600), 86400, "d", 3600, "h")


def _two(whole: int, size: int, large: str, least: int, small: str) -> str:
    more = whole % size // least
    return f"{whole // size} {large} {more} {small}" if more else f"{whole // size} {large}"


def compact(value: float) -> str:
    """A count in three digits: `999`, `12.3k`, `4.56M`."""
    if value < 999.5:
        return f"{value:.0f}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5 or unit == "G":
            break
    return f"{value:.2f}{unit}" if value < 9.995 else f"{value:.1f}{unit}" if value < 99.95 else f"{value:.0f}{unit}"


def rate(value: float) -> str:
    """A rate, with decimals when it is small."""
    return f"{value:,.0f}" if value >= 99.5 or value == 0 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def cost(dollars: float, *, exact: bool = True, known: bool = True) -> str:
    """Dollars: `~` before a sum that is not exact, `?` where no price is known at all."""
    if not known:
        return "?"
    if 0 < dollars < 0.0001:
        return "<$0.0001"
    digits = 4 if 0 < dollars < 0.99995 else 2
    return f"{'' if exact else '~'}${dollars:,.{digits}f}"


def shares(times: tuple[float, ...] | None) -> str:
    """A p50, p90 and p99, labelled; `-` for None."""
    if times is None:
        return "-"
    return ", ".join(f"{name} {seconds(value)}" for name, value in zip(("p50", "p90", "p99"), times, strict=True))


def whole(text: str) -> str:
    """`text` as one figure, in which a page breaks no line."""
    return text.replace(" ", "\u00a0")


def printable(text: str) -> str:
    """`text` with U+FFFD for every character that a terminal or a page would act on: line feeds, escapes, marks that
    change the direction of writing. Its length stays the same."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def plain(text: str) -> str:
    """`text` made `printable`, in one line and with single spaces."""
    return printable(" ".join(text.split()))


def shorten(text: str, length: int) -> str:
    """`text` made `plain`, and cut to at most `length` characters."""
    text = plain(text)
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
