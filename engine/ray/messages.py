"""The function of Ray Data that answers rows: one engine in each worker, which takes all batches that come to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import get_ident
from typing import Any

import anyio

from ...actors.stream import Deadlines, Recovery, RetryPolicy
from ..admission import Limits
from ..api.model import AnthropicModel
from ..budget.budget import Budget
from ..engine import Engine
from ..input import InputError
from ..prices import Price, Prices
from .rows import COLUMNS, answer_of, columns_of, refusal, request_of

__all__ = ["MessagesUDF"]

_FAREWELL = 3.0  # seconds
_KINDS = {"cost": "float64", "attempts": "int64"}  # the other columns hold objects


class MessagesUDF:
    """Answers the rows of a Ray Dataset: `dataset.map_batches(MessagesUDF, ...)`, with a pool of actors.

    A row has its request in `prompt`, a text, or in `params`, the Messages API's parameters as an object or as its
    JSON. To each row these columns are added:

    - `text`: the answer's text;
    - `result`: the answer as a Message Batches result, in JSON;
    - `state`: `complete`, `truncated`, `cancelled` or `failed`;
    - `usage`: the tokens of all attempts, as the API names them;
    - `cost`: what they cost, in dollars; not a number when a price is unknown;
    - `attempts`: how many there were;
    - `error` and `error_message`: None, or the type of what went wrong and its words.

    A row that fails, or whose request is not valid, is a row like any other. The rows of a batch stay in order.

    `model` is an `AnthropicModel` or the name of one. The workers read the key from their own environment: a model that
    was given a key, a client or a URL with a password is refused. The `budget` is shared by all workers, and by other
    engines with the same key; None for none. `max_concurrency` is a worker's. All else is as in `Engine`, but that an
    answer which breaks off is begun anew unless `recovery` says otherwise.

    Making one raises as making an `Engine` does, and `ValueError` for a model that is refused.
    """

    _engine: Engine | None = None
    _home: tuple[asyncio.AbstractEventLoop, int] | None = None
    """The engine's loop, and its thread."""

    def __init__(
        self,
        model: AnthropicModel | str,
        *,
        budget: Budget | str | None = "ray",
        max_concurrency: int = 100,
        limits: Limits | Mapping[str, Limits] | None = None,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        recovery: Recovery = "restart",
        spend_cap: float | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        if isinstance(model, str):
            model = AnthropicModel(model)
        elif isinstance(model, AnthropicModel) and model.left_out:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(
                f"the model was given its {' and '.join(model.left_out)}, which no worker is sent: leave that out, and"
                " set ANTHROPIC_API_KEY in the workers' environment"
            )
        self._make = partial(
            Engine,
            model,
            budget=budget,
            max_concurrency=max_concurrency,
            limits=limits,
            deadlines=deadlines,
            retry=retry,
            recovery=recovery,
            spend_cap=spend_cap,
            prices=prices,
        )
        self._make()  # what is wrong with the settings is told now
        self._model = model
        self._prices = Prices(prices)
        self._numpy: Any = import_module("numpy")
        self._opening = anyio.Lock()

    @classmethod
    def arguments(cls, model: AnthropicModel | str, **settings: Any) -> dict[str, Any]:
        """What to give `map_batches` as `fn_constructor_kwargs`, checked here: Ray makes the object in the workers, and
        tells what is wrong after the traceback of each. Raises as making one does."""
        cls(model, **settings)
        return {"model": model, **settings}

    async def __call__(self, batch: Any) -> AsyncIterator[dict[str, Any]]:
        """Answers a batch: yields it once, with the columns that are added. Cancelled, it cancels what runs.

        Raises as entering an engine does, and `ValueError` for a batch that has a column of such a name already.
        """
        columns = columns_of(batch)
        if there := [name for name in COLUMNS if name in columns]:
            raise ValueError(f"the rows have a column {there[0]!r} already: rename it, as in rename_columns")
        answers = await self._answers(columns)
        yield columns | {
            name: self._numpy.array([answer[name] for answer in answers], dtype=_KINDS.get(name, object))
            for name in COLUMNS
        }

    async def _answers(self, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        engine = await self._opened()
        count = len(next(iter(columns.values()), ()))
        found: list[Any] = []
        try:
            for index in range(count):
                try:
                    found.append(engine.submit(request_of(columns, index)))
                except (InputError, TypeError, ValueError) as exc:
                    found.append(refusal(exc))
            for index, handle in enumerate(found):
                if not isinstance(handle, dict):
                    found[index] = answer_of(await handle.wait(), self._model.model_name, self._prices)
        except BaseException:
            for handle in found:
                if not isinstance(handle, dict):
                    handle.cancel("the batch was left")
            raise
        return found

    async def _opened(self) -> Engine:
        """The engine, which stays open as long as the worker has the object."""
        async with self._opening:
            if self._engine is None:
                engine = self._make()
                await engine.open()
                self._engine, self._home = engine, (asyncio.get_running_loop(), get_ident())
            return self._engine

    def __del__(self) -> None:
        """A worker that ends drops the object, while its event loop still runs in another thread: the engine gives its
        share of the budget back."""
        if self._engine is None or self._home is None:
            return
        loop, thread = self._home
        if loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(self._engine.aclose(), loop)
            if thread != get_ident():  # else it would wait for itself
                with suppress(Exception):
                    closing.result(_FAREWELL)
