"""The budget of a host: its file, whatever becomes of it, and processes that share it."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_for, requests_named

from manystream import AnthropicModel, Engine, HostBudget
from manystream.engine.budget.budget import CarrierFailed
from manystream.engine.budget.host import default_path
from manystream.engine.budget.messages import Grant, Report, Use
from manystream.engine.budget.state import decoded
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and forks as POSIX has them")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def report(participant: str = "one", **facts: Any) -> Report:
    uses = {"requests_per_minute": Use(need=10.0, backlog=10.0)}
    values: dict[str, Any] = {"ceiling": 10, "wanted": 5, "uses": uses, "fixed": {"requests_per_minute": 60.0}}
    return Report(participant=participant, told={}, **(values | facts))


def granted(budget: HostBudget, participant: str = "one", **facts: Any) -> Grant:
    grant = budget.exchange_now("account", report(participant, **facts))
    assert grant is not None
    return grant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget.db"


@pytest.mark.anyio
async def test_two_that_use_the_file_share_it(path: Path) -> None:
    one, two = HostBudget(path), HostBudget(path)
    assert granted(one).participants == 1
    assert granted(two, "two").participants == 2
    assert (await two.exchange("account", report("two", leaving=True))).participants == 1
    assert granted(one).participants == 1
    await one.aclose()
    await two.aclose()
    assert granted(one).participants == 1  # it opens again
    await one.aclose()


@pytest.mark.anyio
async def test_accounts_have_nothing_to_do_with_each_other(path: Path) -> None:
    budget = HostBudget(path)
    granted(budget)
    other = budget.exchange_now("another account", report("two"))
    assert other is not None
    assert other.participants == 1
    await budget.aclose()


@pytest.mark.anyio
@POSIX
async def test_nobody_else_may_read_it_and_no_key_is_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    key = "sk-ant-a-key-that-nobody-may-see"
    async with Engine(
        AnthropicModel("claude-opus-5-5", api_key=key, base_url="http://127.0.0.1:9"), budget="host"
    ) as engine:
        engine.submit("Hello").cancel()
        folder = tmp_path / "run" / "manystream"
        files = list(folder.iterdir())
        assert files
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert key.encode() not in file.read_bytes()
        assert key not in repr(engine._budget)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="there the folder is another one")
async def test_where_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_path() == tmp_path / "run" / "manystream" / "budget-1.db"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_path() == tmp_path / "state" / "manystream" / "budget-1.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_path() == tmp_path / "home" / ".local" / "state" / "manystream" / "budget-1.db"


# -- what may become of the file


@pytest.mark.anyio
@pytest.mark.parametrize("parts", [("",), ("-wal",), ("-shm",), ("-wal", "-shm"), ("", "-wal", "-shm")])
async def test_a_file_that_is_deleted_is_made_anew_by_all(path: Path, parts: tuple[str, ...]) -> None:
    one, two = HostBudget(path), HostBudget(path)
    granted(one)
    granted(two, "two")
    for part in parts:
        Path(f"{path}{part}").unlink()
    granted(one)
    assert granted(two, "two").participants == 2
    assert granted(one).participants == 2
    await one.aclose()
    await two.aclose()


@pytest.mark.anyio
async def test_a_file_that_is_replaced_is_the_new_one_for_all(path: Path, tmp_path: Path) -> None:
    one, two = HostBudget(path), HostBudget(path)
    granted(one)
    other = HostBudget(tmp_path / "other.db")
    granted(other, "three")
    await other.aclose()
    os.replace(tmp_path / "other.db", path)
    granted(one)
    assert granted(two, "two").participants == 3
    await one.aclose()
    await two.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_garbage_is_set_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    budget = HostBudget(path)
    assert granted(budget).participants == 1
    assert Path(f"{path}.bad").read_bytes() == content
    await budget.aclose()


@pytest.mark.anyio
async def test_a_file_that_is_damaged_while_it_is_used(path: Path) -> None:
    one, two = HostBudget(path), HostBudget(path)
    granted(one)
    await one.aclose()
    path.write_bytes(path.read_bytes()[:3000])  # cut short
    assert granted(one).participants == 1
    assert granted(two, "two").participants == 2
    await one.aclose()
    await two.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("kept", [b"", b"garbage", "text", None, 7])
async def test_what_is_no_ledger_in_a_sound_file_counts_for_nothing(path: Path, kept: object) -> None:
    budget = HostBudget(path)
    granted(budget)
    with sqlite3.connect(path) as db:
        db.execute("update ledger set state = ?", (kept,))
    db.close()
    assert granted(budget).participants == 1
    await budget.aclose()


@pytest.mark.anyio
async def test_a_table_of_another_kind_fails_in_words(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table ledger (something text)")
    db.close()
    budget = HostBudget(path)
    with pytest.raises(CarrierFailed, match=r"budget\.db: no such column"):
        granted(budget)


@pytest.mark.anyio
@POSIX
@pytest.mark.skipif(ROOT, reason="root may write everything")
async def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CarrierFailed, match="permission denied"):
            granted(HostBudget(tmp_path / "b.db"))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.anyio
async def test_a_path_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "b.db", tmp_path / "nowhere" / "b.db", tmp_path):
        with pytest.raises(CarrierFailed):
            granted(HostBudget(path))


@pytest.mark.anyio
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
async def test_a_full_disk(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table ledger (account text primary key, state blob) without rowid")
    db.close()
    budget = HostBudget(path)
    granted(budget)
    assert budget._db is not None  # pyright: ignore[reportPrivateUsage]
    # As full as a disk is for SQLite: no page can be added.
    pages = budget._db.execute("pragma page_count").fetchone()[0]  # pyright: ignore[reportPrivateUsage]
    budget._db.execute(f"pragma max_page_count = {pages}")  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(CarrierFailed, match="full"):
        for number in range(200):
            budget.exchange_now(f"account {number}", report())
    assert granted(budget).participants == 1  # once there is room
    await budget.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("is_new", [False, True])
async def test_another_writer_holds_nobody_up(path: Path, is_new: bool) -> None:
    budget = HostBudget(path)
    if not is_new:  # one that is new is not in WAL yet, and SQLite refuses to turn it on
        granted(budget)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("begin immediate")
    assert budget.exchange_now("account", report()) is None
    with anyio.move_on_after(0.05) as scope:
        await budget.exchange("account", report())
    assert scope.cancelled_caught
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(budget.exchange, "account", report())
        await anyio.sleep(0.02)
        holder.execute("rollback")
    holder.close()
    await budget.aclose()


@pytest.mark.anyio
async def test_threads_may_share_one(path: Path) -> None:
    budget = HostBudget(path)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(50):
                granted(budget, f"thread {number}")
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert granted(budget, "thread 0").participants == 4
    await budget.aclose()


# -- processes

_CHILD = """
import sys
from manystream import HostBudget
from manystream.engine.budget.messages import Report
budget = HostBudget(sys.argv[1])
def exchanged(number, wanted):
    while (grant := budget.exchange_now("account", Report(participant=sys.argv[2], ceiling=10, wanted=wanted, uses={},
                                                          fixed={}, told={}, sent=number))) is None:
        pass
    return grant
for number in range(int(sys.argv[3])):
    exchanged(number, 5)
print(exchanged(int(sys.argv[3]), 0).participants)
"""


def test_processes_write_in_turns_and_lose_nothing(path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, str(path), f"child {number}", "200"], stdout=subprocess.PIPE)
        for number in range(3)
    ]
    for child in children:
        with child:
            child.communicate()
        assert child.returncode == 0
    with sqlite3.connect(path) as db:
        [(data,)] = db.execute("select state from ledger")
    db.close()
    state = decoded(data)
    assert state.throttle is not None
    assert state.throttle["window"]["_sent"] <= 3 * 200
    assert all(one.sent >= 199 for one in state.participants.values())


@POSIX
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_opens_the_file_anew(path: Path) -> None:
    budget = HostBudget(path)
    granted(budget)
    before = budget._db  # pyright: ignore[reportPrivateUsage]
    budget._lock.acquire()  # pyright: ignore[reportPrivateUsage]  # as if another thread held it
    child = os.fork()
    if child == 0:
        try:
            fine = granted(budget, "two").participants == 2
            fine = fine and budget._db is not before  # pyright: ignore[reportPrivateUsage]
            os._exit(0 if fine else 1)
        except BaseException:
            os._exit(2)
    budget._lock.release()  # pyright: ignore[reportPrivateUsage]
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert granted(budget).participants == 2  # the parent's is as it was
    anyio.run(budget.aclose)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"weight": 0}, ValueError),
        ({"weight": "much"}, TypeError),
        ({"priority": 0.5}, TypeError),
        ({"name": 7}, TypeError),
    ],
)
async def test_settings_that_make_no_sense(facts: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        HostBudget(**facts)


@pytest.mark.anyio
@pytest.mark.parametrize(("budget", "error"), [("hots", ValueError), (7, TypeError), (object(), TypeError)])
async def test_a_budget_that_is_none(budget: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="budget is"):
        Engine(AnthropicModel("claude-opus-5-5", api_key="k"), budget=budget)


_HOLDER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("begin immediate")
print("held", flush=True)
time.sleep(60)
"""


@POSIX
@pytest.mark.anyio
async def test_a_process_that_is_stopped_with_the_file_in_its_hand_holds_up_no_stream(path: Path) -> None:
    granted(HostBudget(path))
    holder = await anyio.open_process([sys.executable, "-c", _HOLDER, str(path)], stdin=None)
    assert holder.stdout is not None
    await holder.stdout.receive()
    holder.send_signal(signal.SIGSTOP)
    try:
        async with Simulator().serve() as simulator, engine_for(simulator, budget=HostBudget(path)) as engine:
            results = await engine.gather(requests_named(*map(str, range(30))))
            budget = engine.stats().budget
        assert [result.state for result in results] == ["complete"] * 30
        assert budget is not None
        assert budget.alone
    finally:
        holder.kill()
        await holder.aclose()


_ENGINE = """
import sys
import anyio
from manystream import AnthropicModel, Engine, HostBudget

async def main():
    model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=sys.argv[1])
    async with Engine(model, budget=HostBudget(sys.argv[2]), grace=0) as engine:
        print("ready", flush=True)
        results = await engine.gather([f"{sys.argv[3]} {number}" for number in range(int(sys.argv[4]))])
        print(sum(result.state == "complete" for result in results), flush=True)

anyio.run(main)
"""


def _moments() -> list[tuple[float, int]]:
    """Twenty moments, in seconds, closer together while they begin, and whose turn it is to die."""
    return [(round(0.02 * 1.36**number, 2), number % 4) for number in range(20)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("moment", "victim"), _moments())
def test_four_processes_of_which_one_is_killed(path: Path, moment: float, victim: int) -> None:
    """The others finish, nothing is refused, and what the dead one may have used is in the books once."""
    limits = ServiceLimits(requests_per_minute=600)
    each = 230  # three have more than a minute's worth
    with Simulator(conditions=Conditions(limits=limits), time_to_first_token=0.05).in_thread() as simulator:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", _ENGINE, simulator.url, str(path), f"child {number}", str(each)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(4)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        time.sleep(moment)
        children[victim].kill()
        told = [child.communicate()[0] for child in children]
        del told[victim]
        assert told == [f"{each}\n"] * 3
        sent = len(simulator.requests)
        assert [request.status for request in simulator.requests].count(429) == 0
    with sqlite3.connect(path) as db:
        [(account,)] = db.execute("select account from ledger")
        time.sleep(3.5)  # by then it is missed
        assert HostBudget(path).exchange_now(account, report("another", fixed={}, leaving=True))
        [(data,)] = db.execute("select state from ledger")
    db.close()
    state = decoded(data)
    assert not state.participants
    bucket = state.buckets["requests_per_minute"]
    # Nothing that was sent is missing, and its lease was no more than it had to do.
    assert 3 * each <= sent <= bucket["_reserved"] <= sent + each
    assert bucket["outstanding"] == pytest.approx(0.0)


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.anyio
async def test_ten_seconds_with_the_file_in_a_stopped_hand_cost_nothing_but_time(path: Path) -> None:
    granted(HostBudget(path))
    simulator = Simulator(conditions=Conditions(limits=ServiceLimits(requests_per_minute=600)))
    async with (
        simulator.serve(),
        engine_for(simulator, budget=HostBudget(path)) as one,
        engine_for(simulator, budget=HostBudget(path)) as two,
    ):
        states: list[str] = []

        async def work(engine: Engine, name: str) -> None:
            results = await engine.gather(requests_named(*(f"{name} {number}" for number in range(400))))
            states.extend(result.state for result in results)

        def alone() -> list[bool]:
            budgets = [engine.stats().budget for engine in (one, two)]
            return [budget is not None and budget.alone for budget in budgets]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, one, "one")
            tasks.start_soon(work, two, "two")
            await anyio.sleep(3)
            holder = await anyio.open_process([sys.executable, "-c", _HOLDER, str(path)], stdin=None)
            assert holder.stdout is not None
            await holder.stdout.receive()
            holder.send_signal(signal.SIGSTOP)
            before = len(simulator.requests)
            await anyio.sleep(10)
            assert len(simulator.requests) > before  # they go on with their shares
            assert alone() == [True, True]
            holder.kill()
            await holder.aclose()
            await anyio.sleep(2)
            assert alone() == [False, False]
    assert states == ["complete"] * 800
    assert [request.status for request in simulator.requests].count(429) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_processes_take_what_one_would_and_nothing_is_refused(path: Path) -> None:
    limits = ServiceLimits(requests_per_minute=1200)
    with Simulator(conditions=Conditions(limits=limits), time_to_first_token=0.05).in_thread() as simulator:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", _ENGINE, simulator.url, str(path), f"child {number}", each],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, each in enumerate(["1100", "150", "150", "150"])
        ]
        told = [child.communicate()[0] for child in children]
        assert told == ["ready\n1100\n", "ready\n150\n", "ready\n150\n", "ready\n150\n"]
        assert [request.status for request in simulator.requests].count(429) == 0
