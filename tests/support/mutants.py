"""Seeded mutants of one module, each met by the tests that cover it: which of them does nobody notice?

    python -m tests.support.mutants actors/channel/log.py tests/actors/channel --count 60 --seed 1

A mutant is the module with one thing changed: a statement left out, a condition turned round, a comparison moved by
one, a number changed, `and` for `or`, plus for minus, a result not returned. The tests run in a copy of the repository,
the cheapest first, until one of them fails. Survivors are shown with their line; some are equal to the original in all
that anybody can see, and are to be read by a person.
"""

# ruff: noqa: T201

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from queue import Queue

import attrs

_TOP = Path(__file__).parents[2]
_COPIED = ("actors", "engine", "src", "tests", "examples", "benchmarks", "docs", "pyproject.toml", "README.md")
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip


@attrs.frozen
class Mutant:
    """One change: `apply` makes it to the node with this number in the walk of the tree."""

    node: int
    line: int
    what: str
    apply: Callable[[ast.AST], ast.AST]


def mutants_of(tree: ast.Module) -> Iterator[Mutant]:
    """All mutants of a module. Types, docstrings and the words of messages stay as they are."""
    skipped = {id(inner) for node in ast.walk(tree) for part in _untouched(node) for inner in ast.walk(part)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        line = getattr(node, "lineno", 0)
        for what, apply in _changes(node):
            yield Mutant(number, line, what, apply)


def _untouched(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.AnnAssign):
        yield node.annotation
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from (part for part in (node.returns, *node.decorator_list) if part is not None)
        yield from (arg.annotation for arg in ast.walk(node.args) if isinstance(arg, ast.arg) and arg.annotation)
    elif (
        isinstance(node, ast.Assert | ast.JoinedStr)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        or (isinstance(node, ast.Assign | ast.Expr) and node.col_offset == 0)  # types, names handed on, docstrings
    ):
        yield node


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST]]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            other = _COMPARISONS[type(op)]
            yield f"{type(op).__name__} -> {other.__name__}", lambda n: _with(n, ops=[other()])
        case ast.BoolOp(op=op):
            swapped = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{type(op).__name__} -> {type(swapped).__name__}", lambda n: _with(n, op=swapped)
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _OPERATORS:
            instead = _OPERATORS[type(op)]
            yield f"{type(op).__name__} -> {instead.__name__}", lambda n: _with(n, op=instead())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", lambda n: operand
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield "condition turned round", lambda n: _with(n, test=ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", lambda n: ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} -> {value + 1}", lambda n: ast.Constant(value + 1)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "returns None", lambda n: ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Break() | ast.Continue() | ast.AugAssign() | ast.Delete():
            yield f"{type(node).__name__} left out", lambda n: ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "call left out", lambda n: ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "assignment left out", lambda n: ast.Pass()
        case _:
            pass


def _with(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


class _Change(ast.NodeTransformer):
    def __init__(self, target: ast.AST, mutant: Mutant) -> None:
        self._target, self._mutant = target, mutant

    def visit(self, node: ast.AST) -> ast.AST:
        return self._mutant.apply(node) if node is self._target else self.generic_visit(node)


def source_of(tree: ast.Module, mutant: Mutant) -> str:
    """The module's source with the mutant's change in it."""
    tree = deepcopy(tree)
    target = next(node for number, node in enumerate(ast.walk(tree)) if number == mutant.node)
    # The change is made of the copy's own nodes.
    made = next(one for one in _changes(target) if one[0] == mutant.what)
    changed = _Change(target, attrs.evolve(mutant, apply=made[1])).visit(tree)
    return ast.unparse(ast.fix_missing_locations(changed))


def _copy() -> Path:
    place = Path(tempfile.mkdtemp(prefix="mutants-"))
    for name in _COPIED:
        source = _TOP / name
        if source.is_dir():
            shutil.copytree(source, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "out"))
        elif source.exists():
            shutil.copy(source, place / name)
    return place


def _notices(place: Path, tests: list[str], seconds: float) -> str | None:
    """The first test that fails, or why the run ended otherwise; None when all passed."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n", "0", "--timeout", "30", "--tb", "no"]
    env = {**os.environ, "PYTHONPATH": str(place / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=place, env=env, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "it took too long"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0] if failed else f"exit status {done.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Seeded mutants of one module, against its tests.")
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    source = (_TOP / args.module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    found = list(mutants_of(tree))
    chosen = random.Random(args.seed).sample(found, min(args.count, len(found)))
    places: Queue[Path] = Queue()
    for _ in range(args.jobs):
        places.put(_copy())
    first = places.queue[0]
    begun = time.monotonic()
    if (said := _notices(first, args.tests, 900)) is not None:
        sys.exit(f"the tests do not pass without a mutant: {said}")
    seconds = 60 + 4 * (time.monotonic() - begun)

    def meet(mutant: Mutant) -> str | None:
        place = places.get()
        try:
            (place / args.module).write_text(source_of(tree, mutant), encoding="utf-8")
            return _notices(place, args.tests, seconds)
        finally:
            (place / args.module).write_text(source, encoding="utf-8")
            places.put(place)

    lines = source.splitlines()
    noticed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        # Each survivor is shown as soon as it is known: a run takes minutes.
        for mutant, answer in zip(chosen, pool.map(meet, chosen), strict=True):
            if answer is None:
                said = f"{args.module}:{mutant.line}: {mutant.what}: {lines[mutant.line - 1].strip()}"
                print(f"survived  {said}", flush=True)
            else:
                noticed += 1
    share = 100 * noticed / len(chosen)
    print(f"{args.module}: {noticed} of {len(chosen)} noticed ({share:.0f} %), of {len(found)} there are")
    while not places.empty():
        shutil.rmtree(places.get())


if __name__ == "__main__":
    main()
