"""Client libraries against the simulator: `python -m tests.clients [library...]`.

Installs each library's newest version into a folder, runs its program, and ends with a table. The status is 0 when
every failure is one that `EXPLAINED` explains, and nothing that it explains has passed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import attrs

from .environments import InstallError, NotHereError, command, example, manystream_of, surroundings, versions
from .keeper import kept
from .libraries import EXPLAINED, LIBRARIES, Library
from .running import Ended, run_cases


@attrs.frozen
class Tried:
    """A library that was tried; `left_out` says why it wasn't, `broken` why it couldn't be installed."""

    library: Library
    versions: str = ""
    ended: tuple[Ended, ...] = ()
    seconds: float = 0.0
    left_out: str | None = None
    broken: str | None = None

    @property
    def failed(self) -> list[Ended]:
        """The cases that failed."""
        return [case for case in self.ended if case.failed is not None]


def main() -> int:
    """Runs the command; returns its status."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("libraries", nargs="*", metavar="library", help=", ".join(each.name for each in LIBRARIES))
    parser.add_argument("--into", type=Path, help="where to install; what is there already is used again")
    parser.add_argument(
        "--project",
        type=Path,
        default=Path(__file__).parents[2],
        help="the folder of manystream's project, for programs over its engine",
    )
    parser.add_argument("--uv", default=shutil.which("uv") or "uv", help="the uv to install with")
    asked = parser.parse_args()
    if unknown := set(asked.libraries) - {each.name for each in LIBRARIES}:
        parser.error(f"no such library: {', '.join(sorted(unknown))}")
    wanted = [each for each in LIBRARIES if not asked.libraries or each.name in asked.libraries]
    with tempfile.TemporaryDirectory() as folder:
        into = (asked.into or Path(folder)).resolve()
        into.mkdir(parents=True, exist_ok=True)
        with kept() as keeper:
            tried = [_try(library, into, asked.uv, asked.project.resolve(), keeper) for library in wanted]
    return _tell(tried)


def _try(library: Library, into: Path, uv: str, project: Path, keeper: str) -> Tried:
    errors = into / f"{library.name}.log"
    errors.unlink(missing_ok=True)
    begun = time.monotonic()
    try:
        arguments = command(library, into, uv, project)
        found = versions(library, into, uv)
    except NotHereError as error:
        return Tried(library, left_out=str(error))
    except InstallError as error:
        return Tried(library, broken=str(error))
    print(f"== {library.name}: {found}", flush=True)
    ended = list(run_cases(arguments, keeper, surroundings(manystream_of(library, into)), errors))
    if library.example is not None:
        ended.append(Ended(f"examples/frameworks/{library.example}", example(library, into, uv, project)))
    return Tried(library, found, tuple(ended), time.monotonic() - begun)


def _tell(tried: list[Tried]) -> int:
    print()
    right = all(each.broken is None for each in tried) and any(each.ended for each in tried)
    for each in tried:
        if (why := each.left_out or each.broken) is not None:
            print(f"{each.library.name:25} {'left out' if each.left_out else 'NOT INSTALLED'}: {why}")
            continue
        passed = len(each.ended) - len(each.failed)
        print(f"{each.library.name:25} {passed:3} of {len(each.ended):3}  {each.seconds:4.0f} s  {each.versions}")
    for each in tried:
        for case in each.ended:
            why = EXPLAINED.get((each.library.name, case.name))
            if case.failed is not None:
                right = right and why is not None
                print(f"\n{each.library.name} {case.name}\n    {' '.join(case.failed.split())[:400]}")
                print(f"    explained: {why}" if why else "    NOT EXPLAINED")
            elif why is not None:
                right = False
                print(f"\n{each.library.name} {case.name} passed, and need not be explained any more")
    count = sum(len(each.ended) for each in tried)
    failed = sum(len(each.failed) for each in tried)
    print(f"\n{count - failed} passed, {failed} failed of {count}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
