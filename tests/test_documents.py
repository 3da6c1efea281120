"""What the README shows and the examples do is run, as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from manystream import Simulator

TOP = Path(__file__).parent.parent
SNIPPETS = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(encoding="utf-8"), re.DOTALL)
EXAMPLES = sorted((TOP / "examples").glob("*.py"))


def run(*command: str, simulator: Simulator | None = None, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    if simulator is not None:
        env |= {"ANTHROPIC_API_KEY": "simulated", "ANTHROPIC_BASE_URL": simulator.url}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, encoding="utf-8", env=env, cwd=cwd, timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_readme_runs(number: int, tmp_path: Path, manystream_simulator: Simulator) -> None:
    file = tmp_path / f"test_snippet_{number}.py"
    file.write_text(SNIPPETS[number], encoding="utf-8")
    if "def test_" in SNIPPETS[number]:
        run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(file), cwd=tmp_path)
    else:
        assert run("-W", "error", str(file), simulator=manystream_simulator, cwd=tmp_path)
        assert manystream_simulator.requests


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_as_it_is(example: Path, tmp_path: Path) -> None:
    if example.name.startswith("test_"):
        options = ("-q", "-p", "no:cacheprovider", "--strict-markers", "--rootdir", str(tmp_path))
        assert " passed" in run("-m", "pytest", *options, str(example), cwd=tmp_path)
        return
    assert run("-W", "error", str(example), cwd=tmp_path)
