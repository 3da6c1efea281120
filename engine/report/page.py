"""A run's report as a page: one file that contains its plots and its style and loads nothing else."""

from collections import Counter
from collections.abc import Callable, Sequence

from .distribution import Distribution, Span
from .html import Element, document, element
from .plots import Series, columns, stacked_bar
from .read import Report
from .rows import DEFINITIONS, Rows, all_rows, headline
from .style import STYLE
from .timeline import Timeline
from .units import compact, cost, duration, plain, rate, seconds, whole

__all__ = ["page"]

_KINDS = 5  # of errors that have a colour of their own
_TICKS = 6
_MARKS = 20
_FEWEST = 3  # columns that are not empty: with fewer, a plot shows nothing that the table doesn't
_FEWEST_BINS = 6  # of a plot over time
_TOKENS = (
    ("input", "in", "input_tokens"),
    ("cache writes", "write", "cache_write_tokens"),
    ("cache reads", "read", "cache_read_tokens"),
    ("output", "out", "output_tokens"),
)
_WORDS = ("type", "such as", "ended", "ended as")  # heads of columns that hold no numbers
_ACROSS = 6  # tiles in a row; more are in two rows, so that none is left alone
_NARROW = 3  # columns that a telephone has room for side by side


def page(report: Report, files: Sequence[Report] = ()) -> str:
    """The report as an HTML page. `files` are the reports that it puts together."""
    name = plain(report.output)
    policy = element("meta", http_equiv="Content-Security-Policy")
    policy.set("content", "default-src 'none'; style-src 'unsafe-inline'")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        policy,
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Run report: {name}"),
        element("style", STYLE),
    )
    main = element(
        "main",
        element("h1", "Run report"),
        element("p", element("code", name), " so far: the run goes on" if report.goes_on else "", class_="of"),
        _tiles(headline(report, files)),
    )
    tables = {rows.title: rows for rows in all_rows(report, files)}
    plots: dict[str, list[Element]] = {
        "Requests": _completions(report.timeline),
        "Errors": _errors(report.timeline),
        "Speed": _speed(report.timeline),
        "Times": _times(report),
        "Tokens and cost": _models(report),
    }
    for title, rows in tables.items():
        identity = title.lower().replace(" ", "-")
        section = element("section", element("h2", title, id=identity), aria_labelledby=identity)
        section.extend(plots.get(title, ()))
        section.append(_table(rows))
        main.append(section)
    notes = element("footer", element("h2", "Definitions"), element("ul", *(element("li", one) for one in DEFINITIONS)))
    main.append(notes)
    return document(element("html", head, element("body", main), lang="en"))


def _tiles(figures: Sequence[tuple[str, str]]) -> Element:
    across = len(figures) if len(figures) <= _ACROSS else -(-len(figures) // 2)
    tiles = (element("div", element("dt", name), element("dd", value)) for name, value in figures)
    return element("dl", *tiles, class_="tiles", style=f"--across:{across}")


def _table(rows: Rows) -> Element:
    stacked = len(rows.heads) > _NARROW  # on a narrow screen each cell says what it is, under its row's name
    table = element("table", element("caption", rows.title), class_="stacked" if stacked else "plain")
    if any(rows.heads):
        heads = [element("th", head, scope="col", class_=_align(head)) for head in rows.heads]
        table.append(element("thead", element("tr", *heads)))
    body = element("tbody")
    for first, *others in rows.cells:
        cells = [
            element("td", cell, class_=_align(head) if cell else "none", data_label=head)
            for head, cell in zip(rows.heads[1:], others, strict=True)
        ]
        body.append(element("tr", element("th", first, scope="row"), *cells))
    table.append(body)
    return element("div", table, class_="wide", tabindex=0, role="region", aria_label=rows.title)


def _align(head: str) -> str:
    return "word" if head in _WORDS else "number"


# -- over time


def _over_time(
    title: str,
    times: Timeline,
    series: Sequence[Series],
    *,
    what: str = "requests",
    told: Callable[[float], str] = "{:,.0f}".format,
    legend: bool = False,
) -> list[Element]:
    filled = sum(1 for column in zip(*(one.values for one in series), strict=True) if any(column))
    if len(times.bins) < _FEWEST_BINS or filled < _FEWEST:
        return []
    width, count = times.width, len(times.bins)
    step = -(-count // _TICKS)
    edges = [number for number in range(0, count + 1, step) if number <= count - step / 2 or number == count]
    names = [f"{duration(n * width)} to {duration((n + 1) * width)}" for n in range(count)]
    sessions = len(times.sessions)
    figure = columns(
        title,
        series,
        names=names,
        ticks=[(number, duration(number * width)) for number in edges],
        axis="running time",
        note=f"{what} in each {whole(duration(width))}"
        + (f", {whole(f'{sessions:,} sessions')} {whole('end to end')}" if sessions > 1 and legend else ""),
        marks=[start / (count * width) for start in times.starts[1:]] if sessions <= _MARKS else (),
        told=told,
        legend=legend,
    )
    return [figure]


def _completions(times: Timeline) -> list[Element]:
    if not any(times.bins):
        return []
    succeeded = [one["succeeded"] for one in times.bins]
    others = [one.total() - one["succeeded"] for one in times.bins]
    series = [Series("succeeded", "good", succeeded)] if any(succeeded) else []
    if any(others):
        series.append(Series("failed", "bad", others))
    return _over_time("Answers over time", times, series, legend=True)


def _errors(times: Timeline) -> list[Element]:
    counts = sum((Counter(one) for one in times.bins), Counter[str]())
    del counts["succeeded"]
    if not counts:
        return []
    kinds = [kind for kind, _ in counts.most_common(_KINDS)]
    series = [Series(plain(kind), f"error{n}", [one[kind] for one in times.bins]) for n, kind in enumerate(kinds)]
    others = [one.total() - one["succeeded"] - sum(one[kind] for kind in kinds) for one in times.bins]
    if any(others):
        series.append(Series("others", "rest", others))
    return _over_time("Errors over time", times, series, legend=True)


def _speed(times: Timeline) -> list[Element]:
    if not any(times.running):
        return []
    figures = [
        *_over_time(
            "Output tokens a second",
            times,
            [Series("output tokens a second", "out", times.tokens_a_second)],
            what="on average",
            told=rate,
        ),
        *_over_time(
            "Requests at once",
            times,
            [Series("at once", "many", times.running)],
            what="on average",
            told=rate,
        ),
    ]
    return [element("div", *figures, class_="pair")] if figures else []


# -- how times spread


def _times(report: Report) -> list[Element]:
    titled = (("Time to first content", report.first_content), ("Median time between contents", report.gap_p50))
    figures = [_spread(title, found) for title, found in titled if found is not None and _is_spread(found)]
    return [element("div", *figures, class_="pair")] if figures else []


def _is_spread(found: Distribution) -> bool:
    return sum(1 for span in found.spans if span.count) >= _FEWEST


def _spread(title: str, found: Distribution) -> Element:
    spans = found.spans
    first = 1 if spans[0].high == 0 else 0
    step = max(1, -(-(len(spans) - first) // (_TICKS - 1)))
    ticks = [(number, seconds(spans[number].low)) for number in range(first, len(spans), step)]
    if first:
        ticks[:1] = [(0, "0")]
    return columns(
        title,
        [Series("requests", "time", [span.count for span in spans])],
        names=[_span(span) for span in spans],
        ticks=ticks,
        axis="time, logarithmic",
        note=", ".join(
            whole(f"{name} {seconds(value)}")
            for name, value in (("p50", found.p50), ("p90", found.p90), ("p99", found.p99))
        ),
    )


def _span(span: Span) -> str:
    return f"{seconds(span.low)} to {seconds(span.high)}" if span.high else "0"


# -- by model


def _models(report: Report) -> list[Element]:
    shares = [share for share in report.models if share.output_tokens or share.input_tokens]
    if len(shares) < 2:
        return []
    tokens = [[(name, colour, float(getattr(share, field))) for name, colour, field in _TOKENS] for share in shares]
    sums = [sum(value for _, _, value in parts) for parts in tokens]
    by_tokens = [
        (plain(share.model or "-"), stacked_bar(parts, max(sums)), compact(total))
        for share, parts, total in zip(shares, tokens, sums, strict=True)
    ]
    figures = [_bars("Tokens by model", by_tokens, [(name, colour) for name, colour, _ in _TOKENS])]
    dearest = max(share.dollars for share in shares)
    if dearest:
        by_cost = [
            (
                plain(share.model or "-"),
                stacked_bar([("dollars", "money", share.dollars)], dearest),
                cost(
                    share.dollars,
                    exact=not share.unpriced and not share.estimated,
                    known=share.unpriced < share.requests or not share.unpriced,
                ),
            )
            for share in shares
        ]
        figures.append(_bars("Cost by model", by_cost, ()))
    return [element("div", *figures, class_="pair")]


def _bars(title: str, rows: Sequence[tuple[str, Element, str]], legend: Sequence[tuple[str, str]]) -> Element:
    figure = element("figure", element("figcaption", element("strong", title)))
    if legend:
        items = [
            element("li", element("i", class_=f"swatch {colour}", aria_hidden="true"), f" {name}")
            for name, colour in legend
        ]
        figure.append(element("ul", *items, class_="legend"))
    body = element("tbody")
    for name, bar, value in rows:
        body.append(
            element("tr", element("th", name, scope="row"), element("td", bar, class_="bar"), element("td", value))
        )
    figure.append(element("table", body, class_="bars", aria_label=title))
    return figure
