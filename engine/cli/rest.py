"""The plan of the rest, in short: what `run --limit N` ends with."""

from collections.abc import Mapping

from ..admission import Limits
from ..api.model import AnthropicModel
from ..input import InputError, RequestFile
from ..plan import PlanError, read_past, stock_of
from ..prices import Price, Prices
from .plan_text import rest_lines

__all__ = ["plan_of_rest"]


def plan_of_rest(
    model: AnthropicModel,
    requests: RequestFile,
    output: str,
    *,
    prices: Mapping[str, Price],
    concurrency: int,
    max_attempts: int,
    limits: Limits | Mapping[str, Limits] | None,
) -> list[str]:
    """What is left of a run whose results are in `output`, in a few lines; none when nothing is left, or nobody knows.

    The journal must be closed.
    """
    try:
        results = read_past(output)
        plan = stock_of(model, requests).plan(
            results,
            prices=Prices(prices),
            concurrency=concurrency,
            max_attempts=max_attempts,
            limits=limits,
        )
    except (InputError, PlanError, KeyboardInterrupt):
        return []  # the run itself has told what is wrong, or will when it goes on; and nobody has to wait for it
    return rest_lines(plan)
