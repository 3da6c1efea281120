"""The simulator as its users have it: a script to write, a server to start, a record to read."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import attrs
from anyio.from_thread import start_blocking_portal

from .answers import read_recordings
from .batches import Batches, BatchOperation, BatchStep, RecordedBatch
from .faults import NO_FAULTS, Faults, Script, ScriptStep, Tempo
from .scenario import Scenario
from .served import Certificate, Ledger, RecordedRequest, Responder, Server, Tally
from .service import Conditions

if TYPE_CHECKING:
    from .served import SimulatorTransport

__all__ = ["InThread", "Serving", "Simulator"]


@attrs.define
class _Place:
    """Where the simulator is being served, if it is: its URL, its certificate, and the thread of the event loop."""

    url: str | None = None
    certificate: Certificate | None = None
    thread: int | None = None

    def enter(self) -> None:
        if self.thread is not None:
            raise RuntimeError("the simulator is being served already")
        self.thread = threading.get_ident()

    def leave(self) -> None:
        self.url = self.certificate = self.thread = None


class Simulator:
    """A Messages API on loopback, scripted or making its answers up.

    The same seed and the same requests make the same answers, whatever the order of the requests, as long as no
    script is used. `time_to_first_token` (seconds) and `tokens_per_second` set the pace, 0 is as fast as possible;
    each wait varies by up to a half, by the seed. Any API key is accepted but the `rejected_keys`. `conditions` are
    those of the service: rate limits, overload, the prompt cache. `batches` say how Message Batches are processed.
    `faults` make answers misbehave by chance. `recordings` is a folder of `.sse` files, to be replayed instead of
    generated answers where a stream is asked for: the seed and the request decide which. `clock` returns the time in
    seconds since the epoch; on virtual time give it `anyio.current_time`.

    Start it with `async with simulator.serve():` or `with simulator.in_thread():`, one at a time; script, record and
    counts outlive the server. Everything else may be used from any thread at any time.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        time_to_first_token: float = 0.0,
        tokens_per_second: float = 0.0,
        rejected_keys: Collection[str] = ("invalid",),
        conditions: Conditions | None = None,
        batches: Batches | None = None,
        faults: Faults = NO_FAULTS,
        recordings: str | PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for settings that make no sense and for recordings that can't be read."""
        self._script = Script()
        self._ledger = Ledger()
        pace = Tempo(time_to_first_token, tokens_per_second)
        self._responder = Responder(
            self._script,
            pace,
            seed=seed,
            rejected_keys=rejected_keys,
            faults=faults,
            recordings=() if recordings is None else read_recordings(recordings),
            conditions=conditions,
            batches=batches,
            clock=clock,
        )
        self._place = _Place()

    @classmethod
    def from_scenario(cls, scenario: Scenario, *, clock: Callable[[], float] = time.time) -> Simulator:
        """Returns a simulator with these settings and scripts; raises ValueError as making one by hand does."""
        settings = attrs.asdict(scenario, recurse=False)
        script, batch_script = settings.pop("script"), settings.pop("batch_script")
        simulator = cls(**settings, clock=clock)
        simulator._script.extend(script)
        for operation, steps in batch_script.items():
            simulator.script_batches(operation, steps)
        return simulator

    def script(self, steps: Iterable[ScriptStep]) -> None:
        """Adds steps: each valid request to `/v1/messages` takes the next one; then generated answers resume.

        Raises TypeError or ValueError, and adds nothing, when one of them is no step.
        """
        self._script.extend(steps)

    def script_batches(self, operation: BatchOperation, steps: Iterable[BatchStep]) -> None:
        """Adds steps for one endpoint of Message Batches: each request that it would answer takes the next one.

        `operation` is `"create"`, `"retrieve"`, `"list"`, `"cancel"`, `"delete"` or `"results"`. A step is

        - `None`: nothing happens;
        - a status or a `Fail`: the request is refused, nothing having been done;
        - `Cut`, `Stall` or `Slow`: what was asked is done, then this befalls the answer: after
          `Cut("nothing", "reset")` for `"create"` there is a batch of which the client has no answer. With a `Fail` for
          its end, a `Cut` is that error instead of the answer. For `"results"`, `after=n` is after n lines and half of
          the next.

        Raises TypeError or ValueError, and adds nothing, when one of them is no such step.
        """
        self._responder.batches.script.extend(operation, steps)

    def advance_batches(self, seconds: float) -> None:
        """Lets so many seconds of the batches' clock pass at once; raises ValueError when they are less than none."""
        self._responder.batches.advance(seconds)

    @property
    def batches(self) -> list[RecordedBatch]:
        """All Message Batches that were accepted, oldest first, each as it stands now; deleted ones, too."""
        return self._responder.batches.recorded()

    @property
    def url(self) -> str:
        """Where it is served, without a slash at the end; raises RuntimeError when it isn't."""
        if self._place.url is None:
            raise RuntimeError("the simulator is not being served")
        return self._place.url

    @property
    def certificate(self) -> Path:
        """While it is served with TLS, a file (PEM) with the authority that clients have to trust.

        For the environment of another program: `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`. Raises RuntimeError otherwise.
        """
        if self._place.certificate is None:
            raise RuntimeError("the simulator is not being served with TLS")
        return self._place.certificate.authority

    def ssl_context(self) -> ssl.SSLContext:
        """Returns a context for clients that trust this server alone; raises RuntimeError as `certificate` does."""
        return ssl.create_default_context(cafile=self.certificate)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The newest 10,000 requests, oldest first, each as it stands now."""
        return self._ledger.requests()

    @property
    def totals(self) -> Tally:
        """The counts over all requests so far: by status, by what refused them, and the tokens billed."""
        return self._ledger.totals()

    @property
    def open_connections(self) -> int:
        """How many connections are open; one that the client has ended no longer counts."""
        return self._ledger.open_connections

    @property
    def total_connections(self) -> int:
        """How many connections have been accepted so far."""
        return self._ledger.total_connections

    def wait_until(self, condition: Callable[[Simulator], bool], *, timeout: float = 5.0) -> None:
        """Blocks this thread until the condition holds of the simulator, asked again whenever something happens.

        For what shows a moment later, such as that a client has gone. In an event loop call it by
        `anyio.to_thread.run_sync`. Raises TimeoutError after `timeout` seconds, and RuntimeError in the thread that
        serves, where nothing can happen meanwhile.
        """
        if self._place.thread == threading.get_ident():
            raise RuntimeError("this would block the server; use anyio.to_thread.run_sync(simulator.wait_until, ...)")
        self._ledger.wait_until(lambda: condition(self), timeout)

    def serve(self, host: str = "127.0.0.1", port: int = 0, *, tls: bool = False) -> Serving:
        """Returns an async context manager that serves in the running event loop, on asyncio or trio.

        Port 0 takes a free one. Entering raises ListenError when the address can't be had, RuntimeError when this
        simulator is being served already. Leaving aborts what is still running.

        `tls` serves https, by a certificate made on the spot, which `ssl_context` and `certificate` let clients trust.
        It raises ImportError without the extra `tls`.
        """
        certificate = Certificate(host) if tls else None
        server = Server(self._responder, self._ledger, host, port, tls=certificate.context if certificate else None)
        return Serving(self, self._place, server, certificate)

    def transport(self) -> SimulatorTransport:
        """Returns an httpx2 transport that answers in memory: `httpx2.AsyncClient(transport=simulator.transport())`.

        It serves no URL: any base URL goes through it. On virtual time it keeps the model's pace.
        """
        from .served import SimulatorTransport

        return SimulatorTransport(self._responder, self._ledger)

    def in_thread(self, host: str = "127.0.0.1", port: int = 0, *, tls: bool = False) -> InThread:
        """Returns a context manager that serves from a thread of its own, with its own event loop.

        Otherwise as `serve`. Leaving blocks until the thread has ended.
        """
        return InThread(self.serve(host, port, tls=tls))


class Serving:
    """A simulator served in the running event loop; enter and leave it in the same task."""

    def __init__(
        self, simulator: Simulator, place: _Place, server: Server, certificate: Certificate | None = None
    ) -> None:
        self._simulator = simulator
        self._place = place
        self._server = server
        self._certificate = certificate
        self._open = ExitStack()

    async def __aenter__(self) -> Simulator:
        with ExitStack() as stack:
            self._place.enter()
            stack.callback(self._place.leave)
            if self._certificate is not None:
                self._place.certificate = stack.enter_context(self._certificate)
            self._place.url = await self._server.__aenter__()
            self._open = stack.pop_all()
        return self._simulator

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._server.__aexit__(exc_type, exc, traceback)
        finally:
            self._open.close()


class InThread:
    """A simulator served by a thread of its own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._open = ExitStack()

    def __enter__(self) -> Simulator:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio", name="manystream-simulator"))
            simulator = stack.enter_context(portal.wrap_async_context_manager(self._serving))
            self._open = stack.pop_all()
        return simulator

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The body's exception stays on this side: the thread has no part in it.
        self._open.close()
