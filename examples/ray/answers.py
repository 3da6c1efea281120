"""A Ray Dataset of prompts, answered by two workers that share one budget. With the extra `ray`.

It runs against the simulator, on a small cluster of its own.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import ray
from anyio.from_thread import start_blocking_portal

from manystream import AnthropicModel, Simulator
from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import ServiceLimits
from manystream.ray import MessagesUDF

RIVERS = ["Rhine", "Danube", "Volga", "Tagus", "Thames", "Po", "Loire", "Elbe"]


@contextmanager
def a_service() -> Generator[str]:
    """The base URL of a simulated service, which takes 600 requests a minute."""
    simulator = Simulator(conditions=Conditions(limits=ServiceLimits(requests_per_minute=600)))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(simulator.serve()):
        yield simulator.url


def main(url: str) -> None:
    workers = {"env_vars": {"ANTHROPIC_API_KEY": "any"}}  # the key is theirs, and in no argument
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=workers)

    dataset = ray.data.from_items([{"prompt": f"Describe the {river}."} for river in RIVERS * 20])
    answered = dataset.map_batches(
        MessagesUDF,
        fn_constructor_kwargs=MessagesUDF.arguments(
            AnthropicModel("claude-opus-5-5", base_url=url, defaults={"max_tokens": 100}),
            budget="ray",
            max_concurrency=50,
        ),
        batch_size=64,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=0.5,
    )
    rows = answered.take_all()
    print(Counter(row["state"] for row in rows))
    print(f"{sum(row['attempts'] for row in rows)} attempts, ${sum(row['cost'] for row in rows):.4f}")
    print(rows[0]["text"])


if __name__ == "__main__":
    with a_service() as url:
        main(url)
