"""What is installed is what the tree has: every module, the gateway's page, the mark for type checkers, the command,
the pytest plugin; and nothing else. An editable installation is not looked at."""

import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import manystream

TOP = Path(__file__).parent.parent
ROOMS = (TOP / "actors", TOP / "engine")
INSTALLED = distribution("manystream")
FILES = {file.as_posix() for file in INSTALLED.files or ()}

pytestmark = pytest.mark.skipif(
    not any(file.startswith("manystream/") for file in FILES), reason="manystream is installed editable"
)


def test_it_is_what_the_tests_import() -> None:
    assert Path(manystream.__file__) == Path(str(INSTALLED.locate_file("manystream/__init__.py")))


def test_every_module_is_in_it_and_nothing_else() -> None:
    kinds = ("*.py", "*.html")
    paths = [path for room in ROOMS for kind in kinds for path in room.rglob(kind)]
    tree = {f"manystream/{path.relative_to(TOP).as_posix()}" for path in paths}
    front = TOP / "src" / "manystream"
    tree |= {f"manystream/{path.name}" for path in front.glob("*.py")}
    tree |= {f"manystream/commands/{path.name}" for path in (front / "commands").glob("*.py")}
    assert len(tree) > 100
    ours = {file for file in FILES if file.startswith("manystream/") and "__pycache__" not in file}
    assert ours == {*tree, "manystream/py.typed"}
    elsewhere = {file.partition("/")[0] for file in FILES - ours if not file.startswith(("..", "manystream/"))}
    assert {name for name in elsewhere if not name.endswith(".dist-info")} == set()


def test_the_command_is_in_it() -> None:
    command = shutil.which("manystream", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["manystream", INSTALLED.version]


def test_the_pytest_plugin_is_in_it(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("manystream")
    (entry,) = [entry for entry in INSTALLED.entry_points if entry.group == "pytest11"]
    assert entry.value == "manystream.pytest_plugin"
