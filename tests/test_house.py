"""The rules of the house: which rooms there are, which way imports go, and what stands in a room's first lines."""

import ast
from pathlib import Path

import pytest

from tests.support.imports import Arrow, circles, imports_of, rising

TOP = Path(__file__).parent.parent
PACKAGES = ("actors", "engine")

# The rooms, the lowest first: what stands in one line knows nothing of what stands beside it or below.
LAYERS = [
    ["actors.wire"],
    ["actors.message"],
    ["actors.stream"],
    ["actors.channel"],
    ["actors"],
    ["engine.relay.encoders"],
    ["engine.relay.requests"],
    ["engine.finish", "engine.event_loop", "engine.own_loop", "engine.prices"],
    ["engine.opened"],
    ["engine.output"],
    ["engine.api.http.http1", "engine.api.http.http2"],
    ["engine.api.http"],
    ["engine.api"],
    ["engine.admission"],
    ["engine.telemetry"],
    ["engine.budget"],
    ["engine.relay.stores"],
    ["engine.watchdog", "engine.held", "engine.ended", "engine.limit_watch", "engine.times_to_content"],
    ["engine.supervisor"],
    ["engine.settings", "engine.submission", "engine.stats", "engine.connections"],
    ["engine.gateway"],
    ["engine.sdk_clients"],
    ["engine.combinators"],
    ["engine.many_streams"],
    ["engine.engine"],
    ["engine.sync", "engine.serve", "engine.relay"],
    ["engine.simulator.answers"],
    ["engine.simulator.service"],
    ["engine.simulator.faults"],
    ["engine.simulator.batches"],
    ["engine.simulator.served"],
    ["engine.simulator"],
    ["engine.input"],
    ["engine.runs"],
    ["engine.report"],
    ["engine.export"],
    ["engine.plan", "engine.ray"],
    ["engine.cli"],
    ["engine"],
]
ARROWS = imports_of(TOP, PACKAGES)
OURS = [arrow for arrow in ARROWS if arrow.imported.partition(".")[0] in PACKAGES]


def files(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (TOP / top).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def test_no_modules_import_each_other() -> None:
    assert circles(OURS) == []


def test_no_import_goes_up() -> None:
    assert rising(OURS, LAYERS) == []


@pytest.mark.parametrize(
    ("room", "unknown"),
    [
        ("actors", ("engine", "anthropic", "httpx2", "httptools", "sqlite3", "typer", "rich")),
        ("actors", ("pydantic", "jsonschema_rs")),
        ("engine.simulator", ("actors", "anthropic")),
        ("engine.simulator.batches", ("anyio", "asyncio", "trio", "socket", "h11")),
        ("engine.admission", ("anthropic", "httpx2", "anyio", "asyncio", "trio")),
        ("engine.budget.ledger", ("anyio", "asyncio", "trio", "time", "sqlite3")),
        ("engine.budget.share", ("anyio", "asyncio", "trio", "time", "sqlite3")),
        ("engine.ray.rows", ("anyio", "ray", "numpy")),
        ("engine.budget.membership", ("anyio", "asyncio", "trio", "time", "sqlite3")),
        ("engine.api.http.http1", ("anyio", "asyncio", "trio", "socket", "ssl")),
        ("engine.relay.encoders", ("anyio", "asyncio", "trio", "cattrs", "time")),
        ("engine.relay.requests", ("anyio", "asyncio", "trio", "cattrs", "time")),
        ("engine.api.http.http2", ("asyncio", "trio", "socket", "ssl")),
        ("engine.api.http.http2.session", ("anyio", "httpx2", "time")),
        ("actors.wire", ("anyio", "asyncio", "trio")),
        ("actors.message", ("anyio", "asyncio", "trio")),
        ("actors.stream", ("anyio", "asyncio", "trio")),
    ],
)
def test_a_room_does_not_know(room: str, unknown: tuple[str, ...]) -> None:
    inside = [arrow for arrow in ARROWS if arrow.importer == room or arrow.importer.startswith(f"{room}.")]
    assert inside
    assert [arrow for arrow in inside if arrow.imported.partition(".")[0] in unknown] == []


def test_the_simulator_knows_nothing_else_of_the_engine() -> None:
    assert [
        arrow
        for arrow in OURS
        if arrow.importer.startswith("engine.simulator") and not arrow.imported.startswith("engine.simulator")
    ] == []


@pytest.mark.parametrize("path", files(*PACKAGES, "src/manystream", "tests/support", "tests/clients"), ids=name)
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", [path for path in files(*PACKAGES) if path.name == "__init__.py"], ids=name)
def test_a_room_s_face_only_hands_names_on(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    doc = tree.body[0]
    assert isinstance(doc, ast.Expr)
    assert doc.end_lineno is not None
    assert doc.end_lineno - doc.lineno < 8
    for node in tree.body[1:]:
        lazily = isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
        assert lazily or isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.If), ast.dump(node)


def test_every_package_has_a_face() -> None:
    folders = {path.parent for path in files(*PACKAGES)}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_tests_stand_in_the_rooms_that_they_test() -> None:
    rooms = {name(path.parent) for path in files(*PACKAGES)}
    found = {path.parent.relative_to(TOP / "tests").as_posix() for path in (TOP / "tests").rglob("test_*.py")}
    assert found - rooms == {".", "benchmarks"}


def test_a_program_of_a_client_library_knows_that_library_and_nothing_of_ours() -> None:
    """It runs where manystream is not installed, and the ordinary suite does not collect it."""
    programs = files("tests/clients")
    assert [name(path) for path in programs if path.name.startswith("test_") or path.stem.endswith("_test")] == []
    ours = ("manystream", "engine", "actors", "tests")
    found = [
        f"{name(path)} imports {module}"
        for path in programs
        if path.parent.name == "programs"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in imported(node)
        if module.partition(".")[0] in ours
    ]
    assert found == []


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) else []


def test_no_test_imports_another() -> None:
    found = [
        f"{name(path)} imports {module}"
        for path in files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (module := str(node.module)).startswith("tests.")
        and module.rpartition(".")[2].startswith("test_")
    ]
    assert found == []


def test_no_module_holds_too_much() -> None:
    """About 400 lines hold one idea. Beyond 500 there are two."""
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files(*PACKAGES)}
    assert {path: count for path, count in lines.items() if count > 500} == {}


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    for path, source in {
        "low/__init__.py": "",
        "low/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .two import Two\n",
        "low/two.py": "from . import one\ndef late():\n    from ..high.top import Top\n",
        "high/__init__.py": "from .top import Top\n",
        "high/top.py": "import anyio\nfrom ..low import two\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source, encoding="utf-8")
    arrows = imports_of(tmp_path, ["low", "high"])
    assert Arrow("high.top", "anyio", 1) in arrows
    ours = [arrow for arrow in arrows if arrow.imported.startswith(("low", "high"))]
    assert circles(ours) == [["high.top", "low.one", "low.two"]]
    assert rising(ours, [["low"], ["high"]]) == ["low.two:3 imports high.top"]
    with pytest.raises(LookupError, match=r"high\.top"):
        rising(ours, [["low"]])
