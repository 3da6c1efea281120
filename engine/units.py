"""Numbers and words as people read them."""

__all__ = ["compact", "cost", "duration", "plain", "rate", "seconds", "shares", "shorten"]


def seconds(value: float | None) -> str:
    """A short time with a fitting unit; `-` for None."""
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 100 else duration(value)


def duration(value: float) -> str:
    """A time in its two largest units, such as `1 h 20 min`."""
    whole = max(0, round(value))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(whole / 3600)
    return f"{hours // 24} d {hours % 24} h"


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
    """So many a second: with decimals where they matter."""
    return f"{value:,.0f}" if value >= 99.5 or value == 0 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def cost(dollars: float, *, exact: bool = True, known: bool = True) -> str:
    """Dollars: `~` before a sum that is not exact, `?` where no price is known at all."""
    if not known:
        return "?"
    digits = 4 if 0 < dollars < 0.99995 else 2
    return f"{'' if exact else '~'}${dollars:,.{digits}f}"


def shares(times: tuple[float, ...] | None) -> str:
    """The p50, p90 and p99 that are given; `-` for None."""
    if times is None:
        return "-"
    return ", ".join(f"{name} {seconds(value)}" for name, value in zip(("p50", "p90", "p99"), times, strict=True))


def plain(text: str) -> str:
    """`text` in one line, without anything that a terminal or a page would act on."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def shorten(text: str, length: int) -> str:
    """`plain` text, cut to `length` characters."""
    text = plain(text)
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
