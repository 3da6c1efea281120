"""A picture of each scenario: what every strategy completes minute by minute, and how much of it was refused."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# matplotlib is an extra, and only half typed.

from importlib.util import find_spec
from pathlib import Path

from .outcome import INTERVAL, Outcome
from .report import Comparison
from .strategies import ADAPTIVE, FIXED, IDEAL, WITHOUT_DEBT

__all__ = ["can_plot", "plot"]

# Blue, orange and green stay apart for the colour-blind, and so do the line styles in print.
_STYLES = {
    **dict(zip(FIXED, ({"color": "#E69F00"}, {"color": "#CC79A7"}, {"color": "#D55E00"}), strict=True)),
    ADAPTIVE: {"color": "#0072B2", "linewidth": 2.5, "marker": "o", "markersize": 4},
    IDEAL: {"color": "black", "linestyle": "--", "linewidth": 1.5},
    WITHOUT_DEBT: {"color": "black", "linestyle": ":", "linewidth": 1.5},
}


def can_plot() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def plot(comparison: Comparison, path: Path) -> None:
    """Draws one scenario into a file, of the kind that its name says."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    minutes = range(1, comparison.minutes + 1)
    for strategy, outcome in comparison.outcomes.items():
        style = _STYLES.get(strategy, {"linestyle": "-.", "color": "grey"})
        label = f"{strategy}: {outcome.total:,}"
        if outcome.lost:
            label += f" ({outcome.lost:,} lost)"
        above.plot(minutes, outcome.per_minute, label=label, **style)
        if not strategy.startswith(IDEAL):
            below.plot(minutes, _refused_per_minute(outcome), **style)
    figure.legend(loc="outside lower center", ncols=3, handles=above.get_lines())
    figure.suptitle(f"{comparison.scenario.name}: {comparison.scenario.title}")
    above.set_ylabel("completed in the minute")
    above.set_ylim(bottom=0)
    above.grid(alpha=0.3)
    below.set_ylabel("answered 429 or 529")
    below.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("minute")
    below.set_xticks(minutes)
    below.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _refused_per_minute(outcome: Outcome) -> list[float]:
    size = round(60 / INTERVAL)
    shares: list[float] = []
    for start in range(0, len(outcome.answered), size):
        answered = sum(outcome.answered[start : start + size])
        refused = sum(sum(counts[start : start + size]) for counts in outcome.refused.values())
        shares.append(refused / answered if answered else 0.0)
    return shares
