"""The import graph of a source tree, read from its syntax: who imports whom, and where an arrow goes round or up."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

__all__ = ["Arrow", "circles", "imports_of", "rising"]


@attrs.frozen
class Arrow:
    """`importer` imports `imported`, at this line; modules by their dotted names below the tree's top."""

    importer: str
    imported: str
    line: int


def imports_of(top: Path, packages: Sequence[str]) -> list[Arrow]:
    """All imports in `packages`, those inside of functions and for type checkers included. What lies outside of them is
    told by its first name."""
    files = {_name(path.relative_to(top)): path for package in packages for path in (top / package).rglob("*.py")}
    return [
        arrow
        for name, path in files.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for arrow in _arrows(node, name, path.name == "__init__.py", files)
        if arrow.imported != name
    ]


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _arrows(node: ast.AST, importer: str, is_package: bool, files: Mapping[str, Path]) -> Iterator[Arrow]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Arrow(importer, alias.name.partition(".")[0], node.lineno)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield Arrow(importer, str(node.module).partition(".")[0], node.lineno)
    elif isinstance(node, ast.ImportFrom):
        package = importer.split(".") if is_package else importer.split(".")[:-1]
        above = node.level - 1
        # The tree's packages stand side by side in a namespace of their own.
        base = [] if above >= len(package) else package[: len(package) - above]
        module = ".".join([*base, *(node.module.split(".") if node.module else [])])
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            yield Arrow(importer, inner if inner in files else module, node.lineno)


def circles(arrows: Iterable[Arrow]) -> list[list[str]]:
    """The sets of modules that import each other, directly or through others."""
    graph: dict[str, set[str]] = {}
    for arrow in arrows:
        graph.setdefault(arrow.importer, set()).add(arrow.imported)
        graph.setdefault(arrow.imported, set())
    reached = {name: _reached(graph, name) for name in graph}
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(circle) for circle in found if len(circle) > 1)


def _reached(graph: Mapping[str, set[str]], name: str) -> set[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        for other in graph[waiting.pop()] - reached:
            reached.add(other)
            waiting.append(other)
    return reached


def rising(arrows: Iterable[Arrow], layers: Sequence[Sequence[str]]) -> list[str]:
    """The arrows that go up, or stay in a layer and leave their room. `layers` are rooms (packages, or modules that
    stand alone), the lowest first; each module belongs to the longest of them that it lies in. Raises `LookupError` for
    a module in none of them."""
    level = {room: number for number, rooms in enumerate(layers) for room in rooms}
    found: list[str] = []
    for arrow in arrows:
        above, below = _room(arrow.importer, level), _room(arrow.imported, level)
        if above != below and level[below] >= level[above]:
            found.append(f"{arrow.importer}:{arrow.line} imports {arrow.imported}")
    return found


def _room(name: str, level: Mapping[str, int]) -> str:
    rooms = [room for room in level if name == room or name.startswith(f"{room}.")]
    if not rooms:
        raise LookupError(f"the module {name} is in no room")
    return max(rooms, key=len)
