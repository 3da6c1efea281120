"""What the Python programs share: cases, each with a simulator of its own, told as lines of JSON.

A program is run as `program.py KEEPER [case...]`. Its first line names the cases, then comes a line for each.
It needs nothing but the standard library, and, for cases on trio, trio.
"""

import asyncio
import inspect
import json
import sys
import time
import traceback
import urllib.request
from contextlib import contextmanager
from pathlib import Path

_CASES = {}

MODEL = "claude-sonnet-5-5"
OLDER = "claude-haiku-4-5"  # takes what newer models refuse: temperature, a thinking budget
RATE_LIMITED = {"fail": {"status": 429, "headers": {"retry-after": "0", "retry-after-ms": "1"}}}
OVERLOADED = {"fail": {"status": 529, "headers": {"retry-after": "0", "retry-after-ms": "1"}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
BROKEN_MIDWAY = {"cut": {"after": 3, "how": {"status": 529}, "text": "one two three four five six seven"}}
TWO_CALLS = {
    "answer": [
        {"thinking": "Both, then."},
        "I look it up.",
        {"tool_use": {"name": "get_weather", "input": {"city": "Köln", "days": 2}}},
        {"tool_use": {"name": "get_weather", "input": {"city": "Oslo", "days": 7}}},
    ]
}


class Simulator:
    """A simulator that the keeper serves for one case."""

    def __init__(self, keeper, settings):
        self._keeper = keeper
        told = self._ask("POST", "", {"settings": settings})
        self._id = told["id"]
        self.url = told["url"]

    def script(self, *steps):
        self._ask("POST", f"{self._id}/script", list(steps))

    @property
    def requests(self):
        return self._ask("GET", f"{self._id}/requests")

    @property
    def messages(self):
        """The requests to create a message."""
        return [request for request in self.requests if request["path"] == "/v1/messages"]

    def wait_for(self, what, seconds=5):
        """Waits until `what` holds of the requests: that a client has gone shows a moment later."""
        deadline = time.monotonic() + seconds
        while not what(requests := self.requests):
            if time.monotonic() > deadline:
                raise AssertionError(f"never so: {[(r['path'], r['status'], r['outcome']) for r in requests]}")
            time.sleep(0.01)
        return True

    def stop(self):
        self._ask("DELETE", self._id)

    def _ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self._keeper}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=30) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None


_OURS = Path(__file__).parent.parent
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def case(on=None, **settings):
    """Makes a function a case: it gets a simulator with these settings. `on` names the backends of an async one."""

    def taken(function):
        if inspect.iscoroutinefunction(function):
            for backend in (on,) if isinstance(on, str) else on or ("asyncio",):
                name = f"{function.__name__}_on_{backend}" if on else function.__name__
                _CASES[name] = (function, backend, settings)
        else:
            _CASES[function.__name__] = (function, None, settings)
        return function

    return taken


@contextmanager
def raises(*kinds):
    """Asserts that the block raises one of these; gives a list that then has it."""
    caught = []
    try:
        yield caught
    except kinds as error:
        caught.append(error)
    else:
        raise AssertionError(f"did not raise {' or '.join(kind.__name__ for kind in kinds)}")


def same(found, wanted):
    """Asserts that two values are equal, and tells both if not."""
    assert found == wanted, f"{found!r} is not {wanted!r}"


def says(text):
    """One user turn."""
    return [{"role": "user", "content": text}]


def main():
    """Runs the cases that are named, or all."""
    keeper, *names = sys.argv[1:]
    names = names or list(_CASES)
    _tell({"cases": names})
    for name in names:
        begun = time.monotonic()
        failed = _run(keeper, *_CASES[name])
        _tell({"case": name, "failed": failed, "seconds": round(time.monotonic() - begun, 3)})


def _run(keeper, function, backend, settings):
    simulator = None
    try:
        simulator = Simulator(keeper, settings)
        if backend is None:
            function(simulator)
        elif backend == "trio":
            import trio

            trio.run(function, simulator)
        else:
            asyncio.run(function(simulator))
    except BaseException as error:  # one case must not end the others
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        return _words(error)
    finally:
        if simulator is not None:
            simulator.stop()
    return None


def _words(error):
    """The failure in a line: what it is, and where in the program."""
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in Path(frame.filename).parents]
    where = f" (line {places[-1].lineno}: {places[-1].line})" if places else ""
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    return f"{type(inner).__name__}: {str(inner)[:400]}{where}"


_LINES = sys.stdout
sys.stdout = sys.stderr  # what libraries print is no line of ours


def _tell(line):
    print(json.dumps(line), file=_LINES, flush=True)
