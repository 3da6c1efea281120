"""`manystream demo`: many prompts against a simulator in the same process, without a key."""

import os
import tempfile
from random import Random
from typing import Any

from ...actors.stream import MessageParams, StreamRequest
from ..api.model import AnthropicModel
from ..simulator import Simulator
from .environment import without_ways_out
from .perform import Job, Status, perform
from .telling import fail, say

__all__ = ["demo", "demo_requests"]

_MODEL = "claude-opus-5-5"
_FIRST_TOKEN = 0.35  # seconds; this and the next are those of a small, fast model
_TOKENS_PER_SECOND = 160.0
_OURS = b'{"custom_id":"demo-'

_QUESTIONS = (
    "Explain {} to a ten-year-old.",
    "Write three sentences about {}.",
    "What do most people get wrong about {}?",
    "Compare {} with its nearest relative.",
    "A haiku about {}, please, then a word on why it works.",
)
_TOPICS = (
    "rivers",
    "lighthouses",
    "structured concurrency",
    "sourdough",
    "the tides",
    "sonnets",
    "glaciers",
    "back-pressure",
    "honeybees",
    "medieval maps",
    "orbital mechanics",
    "hash tables",
    "volcanoes",
    "the sense of smell",
    "suspension bridges",
    "migrating birds",
)
_CITIES = ("Lisbon", "Oslo", "Nairobi", "Kyoto", "Quito", "Tallinn")
_WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit"],
    },
}


def demo_requests(count: int, seed: int) -> list[StreamRequest]:
    """`count` prompts, the same for the same seed. Every fifth has thinking, every eighth a tool."""
    random = Random(seed)
    return [_request(number, random) for number in range(1, count + 1)]


def _request(number: int, random: Random) -> StreamRequest:
    prompt = random.choice(_QUESTIONS).format(random.choice(_TOPICS))
    params: MessageParams = {"messages": [], "max_tokens": random.randint(160, 400)}
    if number % 5 == 0:
        params["thinking"] = {"type": "adaptive"}
    if number % 8 == 0:
        prompt = f"What will the weather be like in {random.choice(_CITIES)}, and should I pack an umbrella?"
        params["tools"] = [_WEATHER]
    params["messages"] = [{"role": "user", "content": prompt}]
    return StreamRequest(params, custom_id=f"demo-{number:03}")


def demo(
    *, requests: int, concurrency: int, seed: int, output: str | None, quiet: bool = False, backend: str
) -> Status:
    """Runs the demo; returns the exit status. The results are in a new temporary folder if no file is named. It
    overwrites the results of an earlier demo, and no other file."""
    if output is None:
        output = os.path.join(tempfile.mkdtemp(prefix="manystream-demo-"), "results.jsonl")
    simulator = Simulator(seed=seed, time_to_first_token=_FIRST_TOKEN, tokens_per_second=_TOKENS_PER_SECOND)
    try:
        ours = _is_ours(output)
    except OSError as exc:
        fail(f"{output}: {(exc.strerror or str(exc)).lower()}")
        return Status.UNUSABLE
    with without_ways_out(), simulator.in_thread() as served:
        if not quiet:
            say(f"{requests:,} prompts, {concurrency:,} at once, against a simulated Messages API at {served.url}")
        job = Job(
            model=AnthropicModel(_MODEL, api_key="demo", base_url=served.url),
            source=demo_requests(requests, seed),
            output=output,
            concurrency=concurrency,
            overwrite=ours,
            throwaway=True,
            quiet=quiet,
        )
        return perform(job, backend=backend)


def _is_ours(path: str) -> bool:
    """Whether the file holds the results of an earlier demo, or doesn't exist."""
    if path == "-" or not os.path.isfile(path):
        return not os.path.exists(path)
    with open(path, "rb") as file:
        return file.read(len(_OURS)) == _OURS
