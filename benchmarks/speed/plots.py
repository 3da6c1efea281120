"""One picture of all: a panel for each mode, a bar for each kind."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# matplotlib is an extra, and only half typed.

from collections.abc import Sequence
from pathlib import Path

from .goals import Measured
from .kinds import KINDS
from .report import medians

__all__ = ["plot"]

_PANELS = (
    ("burst", "cpu_us_per_event", "burst: CPU µs per event"),
    ("steady", "cpu_us_per_event", "steady: CPU µs per event"),
    ("tls", "cpu_us_per_event", "steady over TLS: CPU µs per event"),
    ("capacity", "streams", "live streams with p99 ≤ 50 ms"),
    ("requests", "cpu_ms_per_request", "CPU ms per request"),
    ("memory", "kb_per_stream", "KB per further stream"),
)


def plot(measured: Sequence[Measured], path: Path) -> None:
    """Draws into a file, of the kind that its name says."""
    from matplotlib.figure import Figure

    panels = [panel for panel in _PANELS if any(one.mode == panel[0] for one in measured)]
    if not panels:
        return
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(10, 0.6 + 2.6 * rows), layout="constrained")
    for axes, (mode, name, title) in zip(figure.subplots(rows, 2, squeeze=False).flat, panels, strict=False):
        found = {kind: medians(measured, mode, kind).get(name) for kind in reversed(KINDS)}
        bars = {kind: value for kind, value in found.items() if value is not None}
        # Orange and blue stay apart for the colour-blind.
        colours = ["#0072B2" if kind.startswith("manystream") else "#E69F00" for kind in bars]
        drawn = axes.barh(list(bars), list(bars.values()), color=colours)
        axes.bar_label(drawn, [f"{value:,.3g}" for value in bars.values()], padding=3)
        axes.margins(x=0.15)
        axes.set_title(title)
    if len(panels) % 2:
        figure.axes[-1].set_visible(False)
    figure.savefig(path, dpi=110)
