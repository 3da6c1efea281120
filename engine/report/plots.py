"""Plots as inline SVG. The shapes stretch with the page. The labels are HTML, which does not stretch."""

from collections.abc import Callable, Sequence

import attrs

from .html import Element, element

__all__ = ["Series", "columns", "stacked_bar"]

_WIDTH = 1000  # width and height are in the drawing's own units
_HEIGHT = 200


@attrs.frozen
class Series:
    """Values, one for each column, and the class that gives them their colour."""

    name: str
    colour: str
    values: Sequence[float]


def columns(
    title: str,
    series: Sequence[Series],
    *,
    names: Sequence[str],
    ticks: Sequence[tuple[int, str]],
    axis: str,
    note: str = "",
    marks: Sequence[float] = (),
    told: Callable[[float], str] = "{:,.0f}".format,
    legend: bool = False,
) -> Element:
    """A figure of stacked columns.

    `names` has a name for each column. `ticks` are the labelled edges between columns, each with its number. `axis`
    names the horizontal axis. `marks` are positions from 0 to 1 at which vertical lines are drawn. `told` puts a value
    into words. A `legend` is there for several series, or where a single one's colour says more than the title.
    """
    count = len(names)
    most = _round_up(max((sum(one.values[n] for one in series) for n in range(count)), default=0))
    drawing = element("svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", preserveAspectRatio="none", role="img")
    drawing.set("aria-label", f"{title}. The table below it has the same figures.")
    for share in (0.0, 0.5, 1.0):
        y = _figure(_HEIGHT * share)
        drawing.append(element("line", x1=0, x2=_WIDTH, y1=y, y2=y, class_="grid"))
    step = _WIDTH / max(1, count)
    gap = min(2.0, step / 6)
    for number in range(count):
        base = float(_HEIGHT)
        words = [f"{told(one.values[number])} {one.name}" for one in series if one.values[number]]
        if not words:
            continue
        column = element("g", element("title", f"{names[number]}: {', '.join(words)}"))
        for one in series:
            height = one.values[number] / most * _HEIGHT
            if height:
                base -= height
                rect = element("rect", x=_figure(number * step + gap / 2), y=_figure(base), class_=one.colour)
                rect.set("width", _figure(step - gap))
                rect.set("height", _figure(height))
                column.append(rect)
        drawing.append(column)
    for mark in marks:
        x = _figure(_WIDTH * mark)
        drawing.append(element("line", x1=x, x2=x, y1=0, y2=_HEIGHT, class_="mark"))
    labels = element("div", class_="x", aria_hidden="true")
    for number, word in ticks:
        place = 100 * number / max(1, count)
        side = "first" if place < 4 else "last" if place > 96 else "mid"
        labels.append(element("span", word, class_=side, style=f"left:{place:.2f}%"))
    scale = element("div", *(element("span", word) for word in (f"{most:,}", _half(most), "0")), class_="y")
    scale.set("aria-hidden", "true")
    figure = element("figure", element("figcaption", element("strong", title), f" {note}" if note else ""))
    if len(series) > 1 or legend:
        figure.append(_legend(series))
    figure.append(element("div", scale, drawing, labels, element("div", axis, class_="axis"), class_="plot"))
    figure.append(_table(series, names, axis, told))
    return figure


def _half(most: int) -> str:
    return f"{most / 2:,.0f}" if most % 2 == 0 else f"{most / 2:,.1f}"


def _legend(series: Sequence[Series]) -> Element:
    items = [
        element("li", element("i", class_=f"swatch {one.colour}", aria_hidden="true"), f" {one.name}") for one in series
    ]
    return element("ul", *items, class_="legend")


def _table(series: Sequence[Series], names: Sequence[str], axis: str, told: Callable[[float], str]) -> Element:
    head = element("tr", *(element("th", word, scope="col") for word in (axis, *(one.name for one in series))))
    body = element("tbody")
    for number, name in enumerate(names):
        values = [one.values[number] for one in series]
        if any(values):
            cells = [element("td", told(value)) for value in values]
            body.append(element("tr", element("th", name, scope="row"), *cells))
    table = element("table", element("thead", head), body)
    return element("details", element("summary", "as a table"), element("div", table, class_="wide"))


def stacked_bar(parts: Sequence[tuple[str, str, float]], most: float) -> Element:
    """A bar for a table's cell, from parts with name, colour and value. `most` is the value of a full bar."""
    drawing = element("svg", viewBox=f"0 0 {_WIDTH} 10", preserveAspectRatio="none", class_="bar", aria_hidden="true")
    x = 0.0
    for name, colour, value in parts:
        width = value / most * _WIDTH if most else 0
        if width:
            rect = element("rect", element("title", f"{name}: {value:,.6g}"), x=_figure(x), y=0, class_=colour)
            rect.set("width", _figure(width))
            rect.set("height", "10")
            drawing.append(rect)
            x += width
    return drawing


def _figure(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


_NICE = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8)  # these and their halves have few digits


def _round_up(value: float) -> int:
    """The next whole number that is a good end for a scale."""
    step = 1
    while True:
        for factor in _NICE:
            nice = step * factor
            if nice >= value and nice == int(nice):
                return int(nice)
        step *= 10
