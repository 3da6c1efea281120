"""A run's report as a page: one file that contains its plots and its style and loads nothing else."""

from collections import Counter
from collections.abc import Sequence

from .distribution import Distribution, Span
from .html import Element, document, element
from .plots import Series, columns, stacked_bar
from .read import Report
from .rows import DEFINITIONS, Rows, all_rows, headline
from .style import STYLE
from .timeline import Timeline
from .units import compact, duration, plain, seconds

__all__ = ["page"]

_KINDS = 5  # of errors that have a colour of their own
_TICKS = 6
_MARKS = 20
_TOKENS = (("input", "input_tokens"), ("cache writes", "cache_write_tokens"), ("cache reads", "cache_read_tokens"))


def page(report: Report) -> str:
    """The report as an HTML page."""
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
        "main", element("h1", "Run report"), element("p", element("code", name), class_="of"), _tiles(headline(report))
    )
    tables = {rows.title: rows for rows in all_rows(report)}
    plots: dict[str, list[Element]] = {
        "Requests": _completions(report.timeline),
        "Errors": _errors(report.timeline),
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
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in figures), class_="tiles"
    )


def _table(rows: Rows) -> Element:
    table = element("table", element("caption", rows.title))
    if any(rows.heads):
        table.append(element("thead", element("tr", *(element("th", head, scope="col") for head in rows.heads))))
    body = element("tbody")
    for first, *others in rows.cells:
        body.append(element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in others)))
    table.append(body)
    return element("div", table, class_="wide", tabindex=0, role="region", aria_label=rows.title)


# -- over time


def _over_time(title: str, times: Timeline, series: Sequence[Series]) -> Element:
    width, count = times.width, len(times.bins)
    step = -(-count // _TICKS)
    edges = [number for number in range(0, count + 1, step) if number <= count - step / 2 or number == count]
    names = [f"{duration(n * width)} to {duration((n + 1) * width)}" for n in range(count)]
    sessions = len(times.sessions)
    return columns(
        title,
        series,
        names=names,
        ticks=[(number, duration(number * width)) for number in edges],
        axis="running time",
        note=f"requests in each {duration(width)}"
        + (f", {sessions:,} sessions laid end to end" if sessions > 1 else ""),
        marks=[start / (count * width) for start in times.starts[1:]] if sessions <= _MARKS else (),
    )


def _completions(times: Timeline) -> list[Element]:
    if not any(times.bins):
        return []
    succeeded = [one["succeeded"] for one in times.bins]
    others = [one.total() - one["succeeded"] for one in times.bins]
    series = [Series("succeeded", "good", succeeded)]
    if any(others):
        series.append(Series("failed", "bad", others))
    return [_over_time("Answers over time", times, series)]


def _errors(times: Timeline) -> list[Element]:
    counts = sum((Counter(one) for one in times.bins), Counter[str]())
    del counts["succeeded"]
    if not counts:
        return []
    kinds = [kind for kind, _ in counts.most_common(_KINDS)]
    series = [Series(plain(kind), f"c{n}", [one[kind] for one in times.bins]) for n, kind in enumerate(kinds)]
    others = [one.total() - one["succeeded"] - sum(one[kind] for kind in kinds) for one in times.bins]
    if any(others):
        series.append(Series("others", "rest", others))
    return [_over_time("Errors over time", times, series)]


# -- how times spread


def _times(report: Report) -> list[Element]:
    titled = (("Time to first content", report.first_content), ("Median time between contents", report.gap_p50))
    return [element("div", *(_spread(title, found) for title, found in titled if found is not None), class_="pair")]


def _spread(title: str, found: Distribution) -> Element:
    spans = found.spans
    first = 1 if spans[0].high == 0 else 0
    step = max(1, -(-(len(spans) - first) // (_TICKS - 1)))
    ticks = [(number, seconds(spans[number].low)) for number in range(first, len(spans), step)]
    if first:
        ticks[:1] = [(0, "0")]
    return columns(
        title,
        [Series("requests", "c0", [span.count for span in spans])],
        names=[_span(span) for span in spans],
        ticks=ticks,
        axis="time, logarithmic",
        note=f"p50 {seconds(found.p50)}, p90 {seconds(found.p90)}, p99 {seconds(found.p99)}",
    )


def _span(span: Span) -> str:
    return f"{seconds(span.low)} to {seconds(span.high)}" if span.high else "0"


# -- by model


def _models(report: Report) -> list[Element]:
    shares = [share for share in report.models if share.output_tokens or share.input_tokens]
    if not shares:
        return []
    kinds = (*_TOKENS, ("output", "output_tokens"))
    tokens = [
        [(name, f"c{n}", float(getattr(share, field))) for n, (name, field) in enumerate(kinds)] for share in shares
    ]
    sums = [sum(value for _, _, value in parts) for parts in tokens]
    by_tokens = [
        (plain(share.model or "-"), stacked_bar(parts, max(sums)), compact(total))
        for share, parts, total in zip(shares, tokens, sums, strict=True)
    ]
    figures = [_bars("Tokens by model", by_tokens, [(name, f"c{n}") for n, (name, _) in enumerate(kinds)])]
    dearest = max(share.dollars for share in shares)
    if dearest:
        by_cost = [
            (
                plain(share.model or "-"),
                stacked_bar([("dollars", "c1", share.dollars)], dearest),
                f"${share.dollars:,.2f}" if share.dollars else "?",
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
