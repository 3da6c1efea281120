"""The chat among the examples, beside a simulator, on a port of its own. `python example.py APP FOLDER`: it prints its
address."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import uvicorn

from manystream import AnthropicModel, Simulator


def example(path: Path) -> Any:
    """The example, as a module."""
    spec = spec_from_file_location("chat_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(json.dumps({"port": self.servers[0].sockets[0].getsockname()[1]}), flush=True)


if __name__ == "__main__":
    with Simulator(tokens_per_second=float(os.environ.get("TPS", "40"))).in_thread() as simulator:
        model = AnthropicModel("claude-opus-5-5", api_key="-", base_url=simulator.url, defaults={"max_tokens": 300})
        app = example(Path(sys.argv[1])).make_app(model, Path(sys.argv[2]))
        Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=3)).run()
