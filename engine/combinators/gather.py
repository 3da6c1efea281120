"""Streams awaited together: gathered into results, or piped into a channel of the caller's."""

import anyio
from anyio.abc import ObjectSendStream

from ...actors.actor import StreamActor
from ...actors.handle import StreamHandle
from ...actors.stream import OutputT, PartEvent, RequestLike, StreamResult
from ..finish import uninterrupted
from .arguments import check_limit, check_requests
from .host import Host, Requests
from .launcher import Launcher

__all__ = ["gather", "pipe"]


async def gather(host: Host, requests: Requests[OutputT], limit: int | None) -> list[StreamResult[OutputT | None]]:
    """Runs all requests on `host`, at most `limit` at a time, and returns their results in order.

    Raises `ValueError` for a limit below 1, and what the iterable raises. Then, and when it is cancelled, what still
    runs is cancelled and has stopped.
    """
    check_requests(requests)
    check_limit(limit)
    results: list[StreamResult[OutputT | None] | None] = []
    numbers: dict[StreamActor, int] = {}

    def started(actor: StreamActor) -> None:
        numbers[actor] = len(results)
        results.append(None)

    def released(actor: StreamActor) -> bool:
        results[numbers.pop(actor)] = actor.result
        return True

    launcher = Launcher(host, min(limit or host.max_concurrency, host.max_concurrency), released)
    try:
        await launcher.launch_all(requests, started)
        await launcher.join()
    except BaseException:
        await launcher.stop("gather was left")
        raise
    return [result for result in results if result is not None]


async def pipe(
    host: Host, request: RequestLike[OutputT], send_stream: ObjectSendStream[PartEvent]
) -> StreamResult[OutputT | None]:
    """Sends the events of one stream of `host` into `send_stream`, and returns the stream's result.

    When the receiver is gone, or the call is cancelled, the stream is cancelled and has stopped.
    """
    if not callable(getattr(send_stream, "send", None)):
        raise TypeError(f"send_stream is the sending end of a memory object stream, not a {type(send_stream).__name__}")
    actor = host.launch(request)
    handle = StreamHandle[OutputT](
        actor, lambda actor, reason: host.request_cancel(actor, "consumer", reason), host.home
    )
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
