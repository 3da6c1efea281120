"""What an exchange with the host's ledger costs, in real time, by how many share it."""

import tempfile
import time
from pathlib import Path
from statistics import median

from manystream import HostBudget
from manystream.engine.budget.messages import Report, Use

__all__ = ["exchange_cost"]

_ROUNDS = 2000  # exchanges


def exchange_cost(participants: int) -> float:
    """The median time of an exchange when so many are busy, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        budget = HostBudget(Path(folder) / "budget.db")
        took: list[float] = []
        for number in range(max(_ROUNDS, 4 * participants)):
            turn = number // participants
            use = Use(reserved=5.0 * turn, settled=4.0 * turn, used=4.0 * turn, need=20.0, backlog=500.0, head=1.0)
            report = Report(
                participant=f"participant {number % participants}",
                ceiling=100,
                running=5,
                wanted=50,
                waiting=45,
                sent=5 * turn,
                uses={"requests_per_minute": use, "input_tokens_per_minute": use, "output_tokens_per_minute": use},
                fixed={
                    "requests_per_minute": 6000.0,
                    "input_tokens_per_minute": 1e6,
                    "output_tokens_per_minute": 1e6,
                },
                told={},
            )
            begun = time.perf_counter()
            budget.exchange_now("account", report)
            took.append(time.perf_counter() - begun)
        budget._close()  # pyright: ignore[reportPrivateUsage]
    return 1e6 * median(took[participants:])
