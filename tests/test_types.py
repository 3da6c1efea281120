"""What type checkers see: a library that uses every public name passes them in their strict modes, and slips do not.

The checkers are those of the extra `dev`; without one its test is skipped.
"""

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

import manystream
from manystream import (
    AnthropicModel,
    Engine,
    EngineStats,
    Mailbox,
    MessageParams,
    Stream,
    StreamHandle,
    StreamResult,
    actors,
    engine,
)
from manystream.engine import simulator
from manystream.engine.api.parameters import sdk_parameters

HERE = Path(__file__).parent
TOP = HERE.parent
SOURCES = Path(manystream.__file__).parent.parent
LIBRARY, SLIPS = HERE / "typed" / "library.py", HERE / "typed" / "slips.py"
WRONG = {n for n, line in enumerate(SLIPS.read_text("utf-8").splitlines(), 1) if line.endswith("# wrong")}

Found = dict[str, set[int]]
"""The lines with errors, by the file's name."""

# What pyright says of a slip beside the error itself.
BESIDE = ("reportUnused", "reportUnknown", "reportUntyped")


def mypy(folder: Path) -> Found:
    options = "--strict", "--config-file=", "--follow-imports=silent", "--output=json", "--cache-dir"
    told = checked("mypy", *options, folder, LIBRARY, SLIPS)
    errors = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return lines((error["file"], error["line"]) for error in errors if error["severity"] == "error")


def pyright(folder: Path) -> Found:
    # Settings of its own: those of the project leave the slips out.
    settings = {"extraPaths": [str(SOURCES)], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    for path in (LIBRARY, SLIPS):
        shutil.copy(path, folder)
    told = checked("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", folder)
    errors = [error for error in json.loads(told)["generalDiagnostics"] if error["severity"] == "error"]
    errors = [error for error in errors if not error.get("rule", "").startswith(BESIDE)]
    return lines((error["file"], error["range"]["start"]["line"] + 1) for error in errors)


def checked(checker: str, *options: object) -> str:
    command = [sys.executable, "-m", checker, *map(str, options)]
    environment = {**os.environ}
    if SOURCES.name != "site-packages":  # where mypy looks by itself, and wants not to be told
        environment["MYPYPATH"] = str(SOURCES)
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def lines(errors: Iterable[tuple[str, int]]) -> Found:
    found: Found = {}
    for file, line in errors:
        found.setdefault(Path(file).name, set()).add(line)
    return found


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_library_passes_and_every_slip_is_seen(checker: Callable[[Path], Found], tmp_path: Path) -> None:
    if find_spec(checker.__name__) is None:
        pytest.skip(f"{checker.__name__} is not installed: it comes with the extra dev")
    assert len(WRONG) >= 50
    assert checker(tmp_path) == {"slips.py": WRONG}


# -- what the library has to use


def used() -> tuple[set[str], set[str]]:
    """The names that the library imports from manystream, and the attributes that it uses."""
    nodes = [*ast.walk(ast.parse(LIBRARY.read_text("utf-8")))]
    imported = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "manystream"
        for alias in node.names
    }
    return imported, {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_the_library_uses_every_public_name() -> None:
    assert used()[0] == {*actors.__all__, *engine.__all__}


@pytest.mark.parametrize(
    "kind", [Engine, StreamHandle, Stream, StreamResult, Mailbox, EngineStats], ids=lambda kind: kind.__name__
)
def test_the_library_uses_what_the_objects_that_users_hold_have(kind: type[object]) -> None:
    methods = {name for name, value in vars(kind).items() if not name.startswith("_") and callable(value)}
    assert methods - used()[1] - NOT_FOR_USERS == set()


# -- what can be imported


ENGINE_S = {
    "ask_to_cancel",
    "base_url",
    "budget_stats",
    "closing",
    "connect",
    "connection",
    "count_spent",
    "deadlines",
    "find",
    "forget",
    "launch",
    "over_with",
    "params_for",
    "prices",
}
RUN_S = {
    "ended",
    "over_with",
    "request_cancel",
    "spent_for",
    "start_side_task",
    "left_out",
    "with_longest_answer",
    "written",
}
BUDGET_S = {"exchange", "exchange_now", "on_host"}
CHANNEL_S = {"add", "done", "exhaust", "home", "queue", "recording", "released", "wake"}
NOT_FOR_USERS = ENGINE_S | RUN_S | BUDGET_S | CHANNEL_S
"""Names without an underscore that the rest of the engine uses: `dir` leaves them out."""

MADE_BY_US = {
    "RequestPipe",
    "ChannelContext",
    "CompletionChannel",
    "Figures",
    "HedgeContext",
    "ItemStream",
    "Mailbox",
    "MergeChannel",
    "Partial",
    "PartialStream",
    "RaceContext",
    "RaceStream",
    "Run",
    "Snapshots",
    "Stream",
    "StreamContext",
    "StreamHandle",
    "SyncHandle",
    "SyncItemStream",
    "SyncPartialStream",
    "SyncResults",
    "SyncStream",
    "SyncTextStream",
    "TextStream",
}
"""Classes whose objects users get and never make: the arguments of `__init__` are ours."""


def named(public: str) -> Iterator[tuple[str, str]]:
    """What the signatures and the attributes of a public class or function name, and where."""
    value: Any = getattr(manystream, public)
    if not hasattr(value, "__mro__") and not inspect.isfunction(value):
        return  # a union of what is public itself
    kinds = [kind for kind in getattr(value, "__mro__", (value,)) if kind.__module__.startswith("manystream.")]
    for kind in kinds:
        (top,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        for node in top.body if isinstance(top, ast.ClassDef) else [top]:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                ours = node.name in NOT_FOR_USERS or (node.name == "__init__" and public in MADE_BY_US)
                if ours or (node.name.startswith("_") and not node.name.startswith("__")):
                    continue
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                hints = [node.returns, *(argument.annotation for argument in every)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if node.target.id.startswith("_") or node.target.id in NOT_FOR_USERS:
                    continue
                hints = [node.annotation]
            else:
                continue
            for hint in hints:
                yield from ((name, kind.__module__) for name in names_in(hint))


def names_in(hint: ast.expr | None) -> Iterator[str]:
    literal = False
    for node in () if hint is None else ast.walk(hint):
        match node:
            case ast.Name():
                yield node.id
                literal = literal or node.id == "Literal"
            case ast.Constant(value=str(text)) if not literal:  # a forward reference
                yield from names_in(ast.parse(text, mode="eval").body)
            case _:
                pass


def test_whatever_a_public_signature_names_can_be_imported_from_manystream() -> None:
    public = {*actors.__all__, *engine.__all__}
    missing: set[tuple[str, str]] = set()
    for one in public - {"Simulator"}:  # its settings are those of `manystream.engine.simulator`, which is public too
        for name, module in named(one):
            home: Any = sys.modules[module]
            found = getattr(home, name, None)
            ours = getattr(found, "__module__", "").startswith("manystream") or hasattr(found, "__args__")
            if ours and name not in public and not name.startswith("_") and not isinstance(found, TypeVar):
                missing.add((one, name))
    assert missing == set()


def test_a_simulator_s_signatures_are_importable_from_its_own_face() -> None:
    for name, module in named("Simulator"):
        if getattr(getattr(sys.modules[module], name, None), "__module__", "").startswith("manystream"):
            assert name in {*simulator.__all__, "Simulator"}


# -- what a prompt offers


def test_dir_of_the_module_is_what_users_need() -> None:
    offered = {name for name in dir(manystream) if not name.startswith("_")}
    assert offered == {*actors.__all__, *engine.__all__, "actors", "engine"}
    assert set(actors.__all__) <= set(dir(actors))
    assert set(engine.__all__) <= set(dir(engine))
    assert {"__version__", "__doc__", "__file__"} <= set(dir(manystream))


def test_what_dir_offers_is_there_from_the_start() -> None:
    program = "import manystream\nfor name in dir(manystream): getattr(manystream, name)"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(SOURCES)}, check=True)


def test_dir_of_an_object_leaves_out_what_is_not_for_users() -> None:
    model = AnthropicModel("claude-opus-5-5", api_key="k")
    for one in (Engine(model), model):
        offered = set(dir(one))
        assert offered & NOT_FOR_USERS == set()
        assert {name for name in vars(type(one)) if not name.startswith("_")} - NOT_FOR_USERS <= offered
    assert {"submit", "stream", "stats"} <= set(dir(Engine(model)))


def test_the_types_take_every_parameter_that_the_sdk_names() -> None:
    for beta in (False, True):
        assert sdk_parameters(beta=beta) <= set(MessageParams.__annotations__)
