"""`manystream budget`: what was spent is shown, and reset."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from manystream import HostBudget
from manystream.__main__ import app
from manystream.engine.budget.budget import purse_of
from manystream.engine.budget.dollars import Allowance, Spending


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


def spend(dollars: float, need: float = 0.0) -> Allowance:
    budget, account = HostBudget(name="us"), purse_of("us")
    assert account is not None
    found = budget.exchange_now(account, Spending(participant="one", cap=100.0, spent=dollars, need=need))
    assert found is not None
    return found


def said(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["budget", *arguments])
    assert done.exit_code == status, done.output
    return done.output


def test_what_was_spent_is_shown_and_reset() -> None:
    assert said("show", "us") == "$0.0000 are spent under 'us'\n"
    spend(1.5, need=2.0)
    told = said("show", "us")
    assert told.startswith("$1.5000 are spent under 'us' by 1 that are at work")
    assert "$2.0000 more may be" in told
    assert said("show", "them") == "$0.0000 are spent under 'them'\n"
    assert said("reset", "us") == "'us' begins anew: $1.5000 were spent\n"
    assert said("show", "us").startswith("$0.0000")
    assert spend(1.75).spent == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", ""), "NAME is the name that engines give their budget"),
        (("show", "us", "--budget", "off"), "--budget: dollars are counted on this host"),
        (("show", "us", "--budget", "ray"), "--budget: dollars are counted on this host"),
        (("reset", "us", "--budget", "redis://"), "--budget: url is redis://host:port"),
    ],
)
def test_what_makes_no_sense_is_told(arguments: tuple[str, ...], words: str) -> None:
    assert words in said(*arguments, status=2)
