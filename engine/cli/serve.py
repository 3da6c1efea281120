"""`manystream serve`: the engine as a local gateway, until Ctrl-C or SIGTERM.

The first of them drains: what was taken is finished, new requests are refused. The second breaks off.
"""

import gc
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import attrs

from ...actors.message import EMPTY
from ..admission import Limits
from ..api.model import AnthropicModel, MissingCredentialsError
from ..api.shown_url import shown_url
from ..budget.budget import Budget
from ..engine import Engine
from ..gateway.foreign import RawHeaders
from ..input import InputError
from ..prices import Price
from ..serve import Rules, Server, is_loopback
from .descriptors import affordable
from .environment import check_environment
from .event_loop import run
from .given import limits_of, price_of
from .interruptions import STOP, default_again, interruptions, stop_process
from .perform import Status
from .sharing import budget_by, tell_of_sharing
from .telling import fail, say

__all__ = ["serve"]

_NO_MODEL = "claude"  # each request says its own
_CALLERS = "callers-bring-their-own"  # stands where a key is needed, and is never sent
_LEAST_TOKEN = 16  # characters
_CLIENTS = 10_000  # connections of clients, where the system allows so many open files


@attrs.frozen(kw_only=True)
class _Serving:
    """What was asked for."""

    host: str
    port: int
    model: AnthropicModel
    rules: Rules
    concurrency: int
    most_connections: int
    limits: Limits | Mapping[str, Limits] | None
    prices: Mapping[str, Price] = EMPTY
    budget: Budget | None
    spend_cap: float | None
    grace: float
    token_file: str | None


def serve(
    *,
    host: str,
    port: int,
    base_url: str | None,
    token_file: str | None,
    hold_key: bool,
    allow: Sequence[str],
    allowed_hosts: Sequence[str],
    concurrency: int,
    limits: Sequence[str],
    prices: Sequence[str],
    budget: str | None,
    spend_cap: float | None,
    grace: float,
) -> Status:
    """Serves until a signal; returns the exit status."""
    try:
        _check(host, token_file, allowed_hosts, allow, hold_key=hold_key, spend_cap=spend_cap)
        check_environment("anthropic", base_url=base_url)
        running = max(1, affordable(2 * concurrency) // 2)  # each has a connection on either side
        serving = _Serving(
            host=host,
            port=port,
            model=AnthropicModel(_NO_MODEL, api_key=None if hold_key else _CALLERS, base_url=base_url),
            rules=Rules(
                hosts=frozenset(name.lower().strip("[]") for name in allowed_hosts),
                token=None if token_file is None else _token_in(token_file),
                holds_key=hold_key,
                allowed=tuple(allow),
            ),
            concurrency=running,
            most_connections=affordable(_CLIENTS + running, quiet=True) - running,
            limits=limits_of(limits),
            prices=dict(map(price_of, prices)),
            budget=budget_by(budget, base_url=base_url),
            spend_cap=spend_cap,
            grace=grace,
            token_file=token_file,
        )
        return run(lambda: _serve(serving), "asyncio")
    except MissingCredentialsError:
        fail("--hold-key: there is no key to hold: set the environment variable ANTHROPIC_API_KEY")
    except (InputError, ValueError) as exc:
        fail(exc)
    except OSError as exc:
        words = os.strerror(exc.errno) if exc.errno else str(exc)  # the event loop puts others around it
        fail(f"can't listen at {host}:{port}: {words.lower()}")
    return Status.UNUSABLE


def _check(
    host: str,
    token_file: str | None,
    allowed_hosts: Sequence[str],
    allow: Sequence[str],
    *,
    hold_key: bool,
    spend_cap: float | None,
) -> None:
    """Raises `InputError` for what is not safe, or makes no sense."""
    if hold_key and token_file is None:
        raise InputError(
            "--hold-key: whoever reaches the gateway could spend by your key: give --token-file, a file with a secret"
            " that callers send as their key"
        )
    if not is_loopback(host) and (token_file is None or not allowed_hosts):
        raise InputError(
            f"--host {host}: other machines reach that address: give --token-file, and with --allowed-host the name or"
            " address by which they call it"
        )
    for name in allowed_hosts:
        if not name or name.count(":") == 1 or "/" in name:
            raise InputError(f"--allowed-host {name!r} is not a name alone, such as box.lan: its port does not count")
    if spend_cap is not None and not spend_cap < math.inf:
        raise InputError("--spend-cap is a number of dollars, not inf: leave it out for no cap")
    if allow and not hold_key:
        raise InputError("--allow goes with --hold-key: with their own keys callers may ask for any path")
    for path in allow:
        if not path.startswith("/") or path == "/":
            raise InputError(f"--allow {path!r} is not a path, such as /v1/files")


def _token_in(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read(4096).strip()
    except OSError as exc:
        raise InputError(f"{path}: can't be read: {(exc.strerror or str(exc)).lower()}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text") from None
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{path}: holds no token: one line of at least {_LEAST_TOKEN} letters and digits, such as"
            f" `openssl rand -hex 24 > {path}` writes"
        )
    return token


async def _serve(serving: _Serving) -> Status:
    async with Engine(
        serving.model,
        max_concurrency=serving.concurrency,
        limits=serving.limits,
        prices=serving.prices,
        budget=serving.budget,
        grace=0,
    ) as engine:
        base_url = engine.connection.client.base_url
        _check_upstream(serving, base_url.host, base_url.port or (443 if base_url.scheme == "https" else 80))
        server = Server(
            engine,
            serving.rules,
            held=_held(engine, serving),
            spend_cap=serving.spend_cap,
            most_connections=serving.most_connections,
        )
        async with server.listening(serving.host, serving.port) as addresses:
            gc.freeze()  # what is loaded by now stays loaded, and is not looked at again
            _greet(serving, addresses[0], shown_url(base_url))
            if serving.budget is not None:
                engine.start_side_task(tell_of_sharing(engine, say))
            with interruptions() as signals:
                await (anyio.sleep_forever() if signals is None else _until_asked(server, signals, serving.grace))
    say("stopped")
    return Status.SUCCEEDED


def _check_upstream(serving: _Serving, host: str, port: int) -> None:
    if port == serving.port and is_loopback(host) and (is_loopback(serving.host) or serving.host in ("0.0.0.0", "::")):
        raise InputError(
            f"the base URL leads to this gateway itself, port {port}: give --base-url, or unset ANTHROPIC_BASE_URL"
        )


def _held(engine: Engine, serving: _Serving) -> RawHeaders | None:
    """The headers with the key that the gateway holds."""
    if not serving.rules.holds_key:
        return None
    client: Any = engine.connection.client
    key, token = client.api_key, client.auth_token
    if isinstance(key, str):
        return [(b"x-api-key", key.encode())]
    if isinstance(token, str):
        return [(b"authorization", b"Bearer " + token.encode())]
    raise InputError("--hold-key takes ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN: other credentials are fetched anew")


async def _until_asked(server: Server, signals: AsyncIterator[signal.Signals], grace: float) -> None:
    """Waits for a signal, and drains. Returns when nothing runs any more, or after a second signal or the grace."""
    async with anyio.create_task_group() as tasks:

        async def drained() -> None:
            server.drain()
            running = server.running
            if running:
                say(f"stopping: {running:,} still run, for at most {grace:g} s; again to break them off")
            with anyio.move_on_after(grace):
                await server.wait_until_drained()
            tasks.cancel_scope.cancel()

        async for received in signals:
            if received == STOP:
                stop_process()
            elif server.draining:
                default_again()
                tasks.cancel_scope.cancel()
                return
            else:
                tasks.start_soon(drained)


def _greet(serving: _Serving, address: tuple[str, int], upstream: str) -> None:
    host, port = address
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    key = ""
    if serving.rules.holds_key:
        mode = "with the key that it holds, for whoever has the token"
        key = f' ANTHROPIC_API_KEY="$(cat {serving.token_file})"'
    elif serving.rules.token is not None:
        mode = "with each caller's own key, for whoever has the token"
        key = f' ANTHROPIC_CUSTOM_HEADERS="manystream-token: $(cat {serving.token_file})"'
    else:
        mode = "with each caller's own key"
    cap = "" if serving.spend_cap is None else f", ${serving.spend_cap:g} for each key"
    sys.stdout.write(
        f"A gateway to {upstream} listens at {url}, {mode}.\n"
        f"At most {serving.concurrency:,} requests run at a time{cap}. Its page: {url}/ (until Ctrl-C)\n"
        f"Point a client at it:\n  export ANTHROPIC_BASE_URL={url}{key}\n"
    )
    sys.stdout.flush()
