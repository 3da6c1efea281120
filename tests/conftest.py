"""What all tests share: both backends for every asynchronous test, and Hypothesis without a clock of its own."""

import gc
import signal

import pytest
from hypothesis import settings

# On a busy machine an example may take long: only pytest's own timeout ends a test.
settings.register_profile("manystream", deadline=None)
settings.load_profile("manystream")

# A shell that starts the tests in the background has them ignore SIGINT, and nohup SIGHUP. The runs that they start
# would ignore them, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every asynchronous test runs on asyncio and on trio."""
    return request.param


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: the collector need not walk over them in each."""
    gc.collect()
    gc.freeze()
