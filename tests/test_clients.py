"""What the programs of client libraries stand on: a simulator for each case, and no failure that is lost."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import OVER_ENGINE, PROGRAMS, surroundings
from tests.clients.keeper import kept
from tests.clients.libraries import EXPLAINED, LIBRARIES
from tests.clients.running import Ended, run_cases

TOP = Path(__file__).parent.parent

_PROGRAM = """
import json, os, sys, time
sys.path.insert(0, {programs!r})
from casebook import case, main, same

@case()
def a_right_one(simulator):
    simulator.script("said")
    same(simulator.requests, [])

@case()
def a_wrong_one(simulator):
    same(1, 2)

@case(time_to_first_token=-1)
def one_without_a_simulator(simulator):
    pass

@case()
def one_that_dies(simulator):
    print("not a line of ours")
    os.write(2, b"it died\\n")
    os._exit(3)

@case()
def one_that_hangs(simulator):
    time.sleep(600)

@case()
async def one_after_it(simulator):
    pass

main()
"""


def ask(method: str, url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as response:
        return json.loads(response.read())


def run(tmp_path: Path, *, silence: float, without: str = "") -> list[Ended]:
    program = tmp_path / "program.py"
    source = _PROGRAM.format(programs=str(PROGRAMS))
    program.write_text(source.replace("time.sleep(600)", "pass") if without == "hanging" else source, encoding="utf-8")
    with kept() as keeper:
        return list(
            run_cases([sys.executable, str(program)], keeper, surroundings(), tmp_path / "errors", silence=silence)
        )


def test_each_case_has_a_simulator_of_its_own() -> None:
    message = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with kept() as keeper:
        one = ask("POST", f"{keeper}/", {"settings": {"seed": 1}, "script": ["one"]})
        two = ask("POST", f"{keeper}/", {})
        ask("POST", f"{keeper}/{two['id']}/script", ["two", {"fail": {"status": 529}}])
        for simulator, text in ((one, "one"), (two, "two")):
            request = urllib.request.Request(f"{simulator['url']}/v1/messages", json.dumps(message).encode())
            request.add_header("x-api-key", "any")
            request.add_header("anthropic-version", "2023-06-01")
            with urllib.request.urlopen(request, timeout=10) as response:
                assert json.loads(response.read())["content"][0]["text"] == text
        (asked,) = ask("GET", f"{keeper}/{one['id']}/requests")
        assert (asked["path"], asked["status"], asked["json"]) == ("/v1/messages", 200, message)
        ask("DELETE", f"{keeper}/{one['id']}")
        with pytest.raises(urllib.request.HTTPError, match="400"):
            ask("GET", f"{keeper}/{one['id']}/requests")


def test_a_case_that_fails_or_kills_its_program_is_told_and_the_others_run(tmp_path: Path) -> None:
    right, wrong, without, dies, *others = run(tmp_path, silence=60, without="hanging")
    assert right == Ended("a_right_one", None)
    assert wrong.failed is not None
    assert "1 is not 2" in wrong.failed
    assert without.failed is not None
    assert "time_to_first_token" in without.failed
    assert dies == Ended("one_that_dies", "the program ended: it died")
    assert others == [Ended("one_that_hangs", None), Ended("one_after_it", None)]


@pytest.mark.slow
def test_a_case_that_hangs_is_told_and_the_others_run(tmp_path: Path) -> None:
    *_, hangs, after = run(tmp_path, silence=10)
    assert hangs == Ended("one_that_hangs", "said nothing for 10 s")
    assert after == Ended("one_after_it", None)


def test_a_program_that_does_not_begin_has_failed(tmp_path: Path) -> None:
    with kept() as keeper:
        (ended,) = run_cases(
            [sys.executable, "-c", "import no_such_library"], keeper, surroundings(), tmp_path / "errors"
        )
    assert ended.failed is not None
    assert "no_such_library" in ended.failed


def test_no_program_reaches_the_real_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a real one")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
    assert [name for name in surroundings() if name.startswith("ANTHROPIC_")] == []


def test_every_program_belongs_to_a_library() -> None:
    found = {path.name for path in PROGRAMS.iterdir() if path.suffix in (".py", ".mjs")}
    assert found == {one.program for one in LIBRARIES if not one.over_engine} | {"casebook.py", "casebook.mjs"}
    found = {path.name for path in OVER_ENGINE.iterdir() if path.suffix in (".py", ".mjs")}
    assert found == {one.program for one in LIBRARIES if one.over_engine} | {"promises.py", "setting.py"}


def test_every_example_of_a_framework_is_run_with_it() -> None:
    found = {path.name for path in (TOP / "examples" / "frameworks").glob("*.py")}
    assert found == {library.example for library in LIBRARIES} - {None}


def test_what_is_explained_exists() -> None:
    programs = {
        library.name: ((OVER_ENGINE if library.over_engine else PROGRAMS) / library.program).read_text(encoding="utf-8")
        for library in LIBRARIES
    }
    for library, case in EXPLAINED:
        name = case.partition("_on_")[0]
        assert f"def {name}(" in programs[library] or f'testCase("{case}"' in programs[library]
