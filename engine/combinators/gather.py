"""Streams awaited together: gathered into results, or piped into a channel of the caller's."""

from typing import TYPE_CHECKING

import anyio
from anyio.abc import ObjectSendStream

from ...actors.actor import StreamActor
from ...actors.handle import StreamHandle
from ...actors.stream.events import PartEvent
from ...actors.stream.result import StreamResult
from ..finish import uninterrupted
from .launcher import Fleet

if TYPE_CHECKING:
    from ...actors.stream.request import RequestLike
    from ..engine import Engine
    from .launcher import Requests

__all__ = ["gather", "pipe"]


async def gather(engine: "Engine", requests: "Requests", limit: int | None) -> list[StreamResult]:
    """See `Engine.gather`."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is at least 1, not {limit}")
    results: list[StreamResult | None] = []
    numbers: dict[StreamActor, int] = {}

    def started(actor: StreamActor) -> None:
        numbers[actor] = len(results)
        results.append(None)

    def ended(actor: StreamActor) -> bool:
        results[numbers.pop(actor)] = actor.result
        return True

    fleet = Fleet(engine, min(limit or engine.max_concurrency, engine.max_concurrency), ended)
    try:
        await fleet.launch_all(requests, started)
        await fleet.join()
    except BaseException:
        await fleet.stop("gather was left")
        raise
    return [result for result in results if result is not None]


async def pipe(engine: "Engine", request: "RequestLike", send_stream: ObjectSendStream[PartEvent]) -> StreamResult:
    """See `Engine.pipe`."""
    actor = engine.launch(request)
    handle = StreamHandle(actor, lambda actor, reason: engine.request_cancel(actor, "consumer", reason), engine.home)
    try:
        async with handle.subscribe() as mailbox:
            async for event in mailbox:
                await send_stream.send(event)
    except anyio.BrokenResourceError:
        handle.cancel("its receiver is gone")
    except BaseException:
        handle.cancel("pipe was left")
        await uninterrupted(handle.wait)
        raise
    await uninterrupted(handle.wait)
    return handle.result
