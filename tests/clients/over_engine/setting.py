"""What the cases over the engine stand on: engines with clients, a server, failures, and what is behind an error."""

import os
import subprocess
from contextlib import asynccontextmanager, contextmanager

import anthropic
import anyio
from casebook import OVERLOADED, RATE_LIMITED

from manystream import AnswerFailed, AnthropicModel, Engine, RetryPolicy, SyncEngine

MODEL = "claude-opus-5-5"
RESET_BEFORE_CONTENT = {"cut": {"after": 0, "how": "reset"}}
THREE_FAILURES = (OVERLOADED, RATE_LIMITED, RESET_BEFORE_CONTENT)
HEADERS = {"manystream-group": "live", "manystream-priority": "5", "manystream-custom-id": "a"}
WAYS_TO_CUT = ("end", "close", "reset", "garbage")
MESSAGE_STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
SAYS = " ".join(f"word{number}" for number in range(60))


class Ends(list):
    """How the requests of a client ended; `heads` are the headers of its responses."""

    def __init__(self):
        self.heads = []

    @property
    def only(self):
        (end,) = self
        return end

    def attempts(self):
        """The attempts of the only request, as its response's head tells them."""
        (head,) = self.heads
        return int(head["manystream-attempts"])


def _settings(simulator, settings):
    settings.setdefault("retry", RetryPolicy(base_delay=0.001))
    return AnthropicModel(MODEL, api_key="any", base_url=simulator.url)


@asynccontextmanager
async def engine_over(simulator, **settings):
    """An engine, its client, and how the client's requests ended."""
    ends = Ends()

    async def heard(response):
        ends.heads.append(response.headers)

    async with Engine(_settings(simulator, settings), **settings) as engine:
        client = engine.anthropic_client(on_end=ends.append)
        client._client.event_hooks = {"response": [heard]}
        yield engine, client, ends


@contextmanager
def sync_engine_over(simulator, **settings):
    """As `engine_over`, for threads."""
    ends = Ends()
    with SyncEngine(_settings(simulator, settings), **settings) as engine:
        client = engine.anthropic_client(on_end=ends.append)
        client._client.event_hooks = {"response": [lambda response: ends.heads.append(response.headers)]}
        yield engine, client, ends


@contextmanager
def served(simulator):
    """The address of `manystream serve` before a simulator, in a process of its own."""
    command = [os.environ["MANYSTREAM"], "serve", "--port", "0", "--base-url", simulator.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        addresses = [line.partition("ANTHROPIC_BASE_URL=")[2].strip() for line in _until_it_tells(server.stdout)]
        try:
            yield addresses[-1]
        finally:
            server.terminate()


def _until_it_tells(lines):
    for line in lines:
        yield line
        if "ANTHROPIC_BASE_URL=" in line:
            return


def causes(error):
    """An error, and all that it was raised for."""
    found, left = [], [error]
    while left:
        one = left.pop()
        if one is None or one in found:
            continue
        found.append(one)
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found


def failure_in(error):
    """The engine's own error behind a framework's, which every framework takes for one of the SDK's."""
    (failed,) = {each for each in causes(error) if isinstance(each, AnswerFailed)}
    assert isinstance(failed, anthropic.APIConnectionError), failed
    return failed


async def read_all(pieces):
    """All that a way to read yields, and the error that it ends with, if any."""
    found = []
    try:
        async for piece in pieces:
            found.append(piece)
    except Exception as error:
        return found, error
    return found, None


async def until(holds):
    """Waits until something is so, which it is in a moment."""
    with anyio.fail_after(5):
        while not holds():
            await anyio.sleep(0.005)


def cut_of(says, after, how):
    return {"cut": {"after": after, "how": how, "text": says}}
