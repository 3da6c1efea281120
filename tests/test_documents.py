"""What the README and the pages of docs/ show is run as it stands, and so are the examples; the site builds without a
warning.

A snippet that can't be run, such as another library's code, has the line `<!-- not run: why -->` directly above it, and
is counted in NOT_RUN.
"""

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import manystream
from manystream import Simulator
from manystream.__main__ import app
from manystream.engine import simulator

TOP = Path(__file__).parent.parent
PAPERS = [TOP / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = {path.relative_to(TOP).as_posix(): path for path in [*PAPERS, *sorted((TOP / "docs").rglob("*.md"))]}
EXAMPLES = sorted((TOP / "examples").glob("*.py"))

NOT_RUN = {
    "README.md": 2,
    "CONTRIBUTING.md": 1,
    "docs/guides/budgets.md": 1,
    "docs/guides/fastapi.md": 1,
    "docs/guides/relay.md": 1,
    "docs/guides/sdk_client.md": 3,
    "docs/guides/serve.md": 3,
    "docs/guides/tables.md": 1,
    "docs/guides/telemetry.md": 1,
    "docs/guides/testing.md": 1,
    "docs/jobs.md": 1,
    "docs/moving/from_inspect_ai.md": 1,
    "docs/moving/from_litellm.md": 1,
    "docs/moving/from_pydantic_ai.md": 1,
    "docs/moving/from_sdk.md": 1,
    "docs/tutorial.md": 2,
}
"""How many snippets of a page are not run. It grows only together with this table."""

PROMPTS = "".join(f'{{"prompt": "Name {number} rivers.", "custom_id": "n{number}"}}\n' for number in range(1, 6))

# Runs the scripts of pages one after the other, each in a folder of its own: together they import anthropic once. In a
# script `await` may stand outside of a function, as in a notebook.
DRIVER = """
import ast, inspect, os, sys, traceback
import anyio

failed = False
for path in sys.argv[1:]:
    print("==", path, flush=True)
    os.chdir(os.path.dirname(path))
    space = {"__name__": "__main__", "__file__": path}
    try:
        with open(path, encoding="utf-8") as file:
            code = compile(file.read(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            async def main():
                await eval(code, space)
            anyio.run(main)
        else:
            exec(code, space)
    except Exception:
        traceback.print_exc()
        failed = True
sys.exit(failed)
"""


class Snippet(NamedTuple):
    language: str
    text: str
    runs: bool


def snippets(page: str, language: str) -> list[Snippet]:
    found = re.findall(
        r"^(<!-- not run: .+? -->\n)?```(python|sh)\n(.*?)^```",
        PAGES[page].read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    return [Snippet(kind, text, not mark) for mark, kind, text in found if kind == language]


def of_python(page: str) -> list[str]:
    return [snippet.text for snippet in snippets(page, "python") if snippet.runs]


def scripts(page: str) -> Iterator[str]:
    """A page's snippets, one after the other. Where some wait outside of a function, those that start an event loop of
    their own are another script."""
    texts = [text for text in of_python(page) if "def test_" not in text]
    if not _waits_at_top("\n".join(texts)):
        yield "\n".join(texts)
        return
    yield "\n".join(text for text in texts if not re.search(r"^\w+\.run\(", text, re.MULTILINE))
    yield "\n".join(text for text in texts if re.search(r"^\w+\.run\(", text, re.MULTILINE))


def _waits_at_top(source: str) -> bool:
    code = compile(source, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return bool(code.co_flags & inspect.CO_COROUTINE)


def environment(served: Simulator | None = None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    if served is not None:
        env |= {"ANTHROPIC_API_KEY": "simulated", "ANTHROPIC_BASE_URL": served.url}
    return env


def run(*command: str, served: Simulator | None = None, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(served),
        cwd=cwd,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def test_the_snippets_of_the_pages_run(tmp_path: Path, manystream_simulator: Simulator) -> None:
    files: list[str] = []
    for page in PAGES:
        for number, script in enumerate(scripts(page)):
            if script.strip():
                file = tmp_path / re.sub(r"\W", "_", page.removesuffix(".md")) / f"script_{number}.py"
                file.parent.mkdir(exist_ok=True)
                (file.parent / "prompts.jsonl").write_text(PROMPTS, encoding="utf-8")
                file.write_text(script, encoding="utf-8")
                files.append(str(file))
    done = run("-W", "error", "-c", DRIVER, *files, served=manystream_simulator, cwd=tmp_path)
    # Pages may set logging up; what nobody could raise is told there too.
    assert not re.search("Traceback|Exception ignored", done.stderr), done.stderr


def test_the_tests_among_the_snippets_pass(tmp_path: Path) -> None:
    page = PAGES["docs/guides/testing.md"].read_text(encoding="utf-8")
    (scenario,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "overloaded.toml").write_text(scenario, encoding="utf-8")
    found = [(page, text) for page in PAGES for text in of_python(page) if "def test_" in text]
    for number, (page, text) in enumerate(found):
        name = re.sub(r"\W", "_", page.removesuffix(".md"))
        (tmp_path / f"test_{number}_{name}.py").write_text(text, encoding="utf-8")
    options = ("-q", "-p", "no:cacheprovider", "--strict-markers", "--rootdir", str(tmp_path))
    assert " passed" in run("-m", "pytest", *options, str(tmp_path), cwd=tmp_path).stdout


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh")
@pytest.mark.parametrize("page", [page for page in PAGES if any(snippet.runs for snippet in snippets(page, "sh"))])
def test_the_commands_of_a_page_run(page: str, tmp_path: Path, manystream_simulator: Simulator) -> None:
    (tmp_path / "prompts.jsonl").write_text(PROMPTS, encoding="utf-8")
    command = tmp_path / "bin" / "manystream"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m manystream "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    env = environment(manystream_simulator)
    env["PATH"] = f"{command.parent}{os.pathsep}{env['PATH']}"
    env["XDG_STATE_HOME"] = env["XDG_RUNTIME_DIR"] = str(tmp_path)
    script = "".join(snippet.text for snippet in snippets(page, "sh") if snippet.runs)
    done = subprocess.run(
        ["sh", "-e", "-c", script], capture_output=True, text=True, encoding="utf-8", env=env, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_have_the_options_they_are_shown_with(page: str) -> None:
    commands: Any = typer.main.get_command(app)
    for snippet in snippets(page, "sh"):
        for name, *arguments in commands_in(snippet.text):
            if not name.startswith("-"):
                commands.commands[name].make_context(name, arguments)


def commands_in(script: str) -> Iterator[list[str]]:
    """What stands behind `manystream` in a script, command by command."""
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>\n")
    lexer.whitespace = " \t"
    words = [*lexer, "\n"]
    while words:
        end = next(place for place, word in enumerate(words) if set(word) <= set("|&;<>\n"))
        command, words = words[:end], words[end + 1 :]
        for place, word in enumerate(command[:-1]):
            if word.rpartition("/")[2] == "manystream" and "install" not in command[:place]:
                yield command[place + 1 :]


def test_what_is_not_run_is_known() -> None:
    counts = Counter(
        page for page in PAGES for language in ("python", "sh") for one in snippets(page, language) if not one.runs
    )
    assert dict(counts) == NOT_RUN


def test_a_snippet_that_stands_in_an_example_does() -> None:
    """Examples over frameworks run where these are installed: `python -m tests.clients`."""
    found = [
        (page, *match.groups())
        for page, path in PAGES.items()
        for match in re.finditer(
            r"^<!-- not run: it stands in (\S+) -->\n```python\n(.*?)^```",
            path.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
    ]
    assert found
    for page, example, snippet in found:
        lines = {line.strip() for line in (TOP / example).read_text(encoding="utf-8").splitlines()}
        assert [line for line in snippet.splitlines() if line.strip() not in lines] == [], (page, example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_as_it_is(example: Path, tmp_path: Path) -> None:
    if example.name.startswith("test_"):
        options = ("-q", "-n", "0", "-p", "no:cacheprovider", "--strict-markers", "--rootdir", str(tmp_path))
        assert " passed" in run("-m", "pytest", *options, str(example), cwd=tmp_path).stdout
        return
    done = run("-W", "error", str(example), cwd=tmp_path)
    assert done.stdout
    assert done.stderr == ""


# -- the site


@pytest.mark.skipif(
    not all(map(find_spec, ("sphinx", "furo", "myst_parser"))), reason="the extra docs is not installed"
)
@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"),
            *("-d", str(tmp_path / "doctrees"), str(TOP / "docs"), str(tmp_path / "html")),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", PAGES[page].read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (PAGES[page].parent / target).exists(), target


def test_the_reference_has_every_public_name() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (TOP / "docs" / "reference").glob("*.md"))
    told = set(
        re.findall(r"^\.\. (?:autoclass|autoexception|autofunction|autodata|py:data):: ([\w.]+)", text, re.MULTILINE)
    )
    faces = (manystream.actors, manystream.engine, simulator)
    assert {name for face in faces for name in face.__all__} <= told


def test_how_it_is_built_names_every_room() -> None:
    text = (TOP / "docs" / "how_it_is_built.md").read_text(encoding="utf-8")
    rooms = [
        file.parent.relative_to(TOP).as_posix()
        for top in ("actors", "engine")
        for file in (TOP / top).rglob("__init__.py")
    ]
    assert len(rooms) > 10
    assert [room for room in rooms if f"`{room}/`" not in text] == []
    named = re.findall(r"`((?:actors|engine)/[\w/]*)/`", text)
    assert [room for room in named if not (TOP / room / "__init__.py").exists()] == []
