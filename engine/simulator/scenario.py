"""A scenario: everything a simulator is set up with as one value, and its form as a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import attrs

from .answers import Part, Structured, Thinking, ToolUse, is_array, is_object, read_recordings
from .batches import Batches, BatchOperation, BatchStep, check_batch_steps
from .faults import NO_FAULTS, Bytes, Cut, Fail, Faults, QueuedStep, ScriptStep, Slow, Stall, Tempo, check_steps
from .service import Cache, Conditions, Overload, Ramp, ServiceLimits, SpendLimit

__all__ = ["Scenario", "ScenarioError", "read_scenario"]

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario's file cannot be used; the message says in one line which file, which setting, and why."""


def _as_steps(steps: Iterable[ScriptStep]) -> tuple[QueuedStep, ...]:
    return check_steps(steps)


def _as_batch_script(
    script: Mapping[BatchOperation, Iterable[BatchStep]],
) -> Mapping[BatchOperation, tuple[BatchStep, ...]]:
    return {operation: check_batch_steps(operation, steps) for operation, steps in script.items()}


def _as_path(path: str | PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _check_seed(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not isinstance(cast(object, value), int) or isinstance(value, bool):
        raise ValueError(f"{attribute.name} must be a whole number, not {value!r}")


def _as_keys(keys: Any) -> Any:
    return tuple(cast("list[object]", keys)) if isinstance(keys, list) else keys  # as TOML has it


def _check_keys(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(key, str) for key in cast("tuple[object, ...]", value)):
        raise ValueError(f"{attribute.name} must be a list of keys")


@attrs.frozen(kw_only=True)
class Scenario:
    """The settings of a `Simulator`, and the scripts it begins with; each is what it is there.

    Raises ValueError or TypeError for settings that make no sense. Whether there are recordings is found out when the
    simulator is made.
    """

    seed: int = attrs.field(default=0, validator=_check_seed)
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    rejected_keys: tuple[str, ...] = attrs.field(
        default=("invalid",), converter=_as_keys, validator=_check_keys, repr=False
    )
    conditions: Conditions = Conditions()
    batches: Batches = Batches()
    faults: Faults = NO_FAULTS
    script: tuple[QueuedStep, ...] = attrs.field(default=(), converter=_as_steps)
    batch_script: Mapping[BatchOperation, tuple[BatchStep, ...]] = attrs.field(
        factory=dict[BatchOperation, tuple[BatchStep, ...]], converter=_as_batch_script
    )
    recordings: Path | None = attrs.field(default=None, converter=_as_path)

    def __attrs_post_init__(self) -> None:
        Tempo(self.time_to_first_token, self.tokens_per_second)


def read_scenario(path: str | PathLike[str]) -> Scenario:
    """Returns the scenario in a TOML file such as this, in which everything may be left out:

    ```toml
    seed = 7
    time_to_first_token = 0.4       # seconds
    tokens_per_second = 80
    rejected_keys = ["invalid"]
    recordings = "recordings"       # a folder of .sse files, seen from this file
    script = [529, "hello"]         # or a table for each step, as below

    [limits]                        # and [ramp], [spend], [overload], [cache]: see `Conditions`
    requests_per_minute = 60

    [batches]                       # see `Batches`
    per_second = 20

    [faults]                        # see `Faults`
    close = 0.02
    ```

    A step of the script is a status, a text, or a table with one of `text`, `thinking`, `tool_use`, `structured`,
    `answer` (a list of such parts), `fail`, `cut`, `stall`, `slow` and `recording` (a file, seen from this one):

    ```toml
    [[script]]
    fail = { status = 429, headers = { retry-after = "2" } }
    [[script]]
    answer = [{ thinking = "Hm" }, "Let me look.", { tool_use = { name = "get_weather", input = { city = "Paris" } } }]
    [[script]]
    structured = { city = "Paris", days = 3 }
    [[script]]
    cut = { after = 3, how = "reset", text = "one two three four" }
    [[script]]
    cut = { after = { bytes = 700 }, how = { status = 529 } }
    [[script]]
    stall = { after = "head", seconds = 5, pings = 1 }
    ```

    The endpoints of batches have scripts of their own (see `Simulator.script_batches`). In them a step is a status, a
    table with `fail`, `cut`, `stall` or `slow`, or `"ok"` for a request to which nothing happens:

    ```toml
    [batch_script]
    create = ["ok", { cut = { after = "nothing", how = "reset" } }]
    results = [503]
    ```

    Raises ScenarioError for a file that can't be read or isn't such a scenario.
    """
    file = Path(path)
    try:
        return _read(file)
    except OSError as error:
        raise ScenarioError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{file}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{file}: is not TOML: {error}") from None
    except _SettingError as error:
        raise ScenarioError(f"{file}: {error}") from None


class _SettingError(Exception):
    """What is wrong with a setting, and where in the file it is."""


def _read(file: Path) -> Scenario:
    settings = tomllib.loads(file.read_bytes().decode())
    _check_names(settings, [*(name for name in _names(Scenario) if name != "conditions"), *_CONDITIONS], "")
    tables = {name: settings.pop(name) for name in _CONDITIONS if name in settings}
    conditions: dict[str, Any] = {name: _make(_CONDITIONS[name], table, name) for name, table in tables.items()}
    settings["conditions"] = _make(Conditions, conditions, "")
    for name, kind in (("batches", Batches), ("faults", Faults)):
        if name in settings:
            settings[name] = _make(kind, settings[name], name)
    if "script" in settings:
        settings["script"] = _script(settings["script"], file.parent)
    if "batch_script" in settings:
        settings["batch_script"] = _batch_script(settings["batch_script"], file.parent)
    if "recordings" in settings:
        settings["recordings"] = file.parent / _text(settings["recordings"], "recordings")
        try:
            read_recordings(settings["recordings"])
        except ValueError as error:
            raise _SettingError(str(error)) from None
    return _make(Scenario, settings, "")


def _script(steps: object, folder: Path) -> list[ScriptStep]:
    if not is_array(steps):
        raise _SettingError("script: must be a list of steps")
    made: list[ScriptStep] = []
    for number, step in enumerate(steps):
        where = f"script[{number}]"
        if is_object(step):
            made.append(_step(step, where, folder))
        else:
            made.append(_parts(step, where) if is_array(step) else step)
        try:
            check_steps(made[-1:])
        except (TypeError, ValueError) as error:
            raise _SettingError(f"{where}: {error}") from None
    return made


def _batch_script(scripts: object, folder: Path) -> dict[BatchOperation, list[BatchStep]]:
    if not is_object(scripts):
        raise _SettingError("batch_script: must be a table")
    operations: tuple[BatchOperation, ...] = get_args(BatchOperation)
    _check_names(scripts, list(operations), "batch_script")
    made: dict[BatchOperation, list[BatchStep]] = {}
    for operation in operations:
        steps: object = scripts.get(operation)
        if steps is None:
            continue
        if not is_array(steps):
            raise _SettingError(f"batch_script.{operation}: must be a list of steps")
        made[operation] = []
        for number, step in enumerate(steps):
            where = f"batch_script.{operation}[{number}]"
            read: Any = _step(step, where, folder) if is_object(step) else step
            try:
                made[operation] += check_batch_steps(operation, [None if read == "ok" else read])
            except (TypeError, ValueError) as error:
                raise _SettingError(f"{where}: {error}") from None
    return made


def _step(step: dict[str, Any], where: str, folder: Path) -> ScriptStep:
    """Makes a step of its table, which has one entry: the kind of step."""
    kind, value = _only(step, [*_PARTS, "answer", "recording", *_STEPS], where)
    inside = f"{where}.{kind}"
    match kind:
        case "answer":
            return _parts(value, inside)
        case kind if kind in _PARTS:
            return _part(step, where)
        case "recording":
            try:
                return (folder / _text(value, inside)).read_bytes()
            except OSError as error:
                raise _SettingError(f"{inside}: {error.filename} cannot be read: {error.strerror or error}") from None
            except ValueError:  # a name that no file can have: it holds a zero
                raise _SettingError(f"{inside}: {value!r} is not the name of a file") from None
        case _:
            settings = {**value} if is_object(value) else value
            if is_object(settings) and is_object(settings.get("after")):
                settings["after"] = _bytes(settings["after"], f"{inside}.after")
            if is_object(settings) and is_object(settings.get("how")):
                settings["how"] = _make(Fail, settings["how"], f"{inside}.how")
            if is_object(settings) and is_array(settings.get("text")):
                settings["text"] = _parts(settings["text"], f"{inside}.text")
            return _make(_STEPS[kind], settings, inside)


def _only(table: dict[str, Any], kinds: list[str], where: str) -> tuple[str, Any]:
    """Returns the one entry of a table."""
    _check_names(table, kinds, where)
    if len(table) != 1:
        raise _SettingError(f"{where}: must have one of {', '.join(kinds)}")
    ((kind, value),) = table.items()
    return kind, value


def _parts(parts: object, where: str) -> list[Part]:
    if not is_array(parts):
        raise _SettingError(f"{where}: must be a list of parts")
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]


def _part(part: object, where: str) -> Part:
    """Makes a part of an answer of its text or its table, which has one entry: the kind of part."""
    if isinstance(part, str):
        return part
    if not is_object(part):
        raise _SettingError(f"{where}: must be a text or a table")
    kind, value = _only(part, _PARTS, where)
    inside = f"{where}.{kind}"
    match kind:
        case "tool_use":
            return _make(ToolUse, value, inside)
        case "structured":
            try:
                return Structured(value)
            except ValueError as error:
                raise _SettingError(f"{inside}: {str(error).removeprefix('value ')}") from None
        case "thinking":
            return Thinking(_text(value, inside))
        case _:
            return _text(value, inside)


def _bytes(table: dict[str, Any], where: str) -> Bytes:
    _check_names(table, ["bytes"], where)
    try:
        return Bytes(cast(int, table.get("bytes")))
    except ValueError as error:
        raise _SettingError(f"{where}.bytes: {str(error).removeprefix('count ')}") from None


_CONDITIONS: dict[str, type[Any]] = {
    "limits": ServiceLimits,
    "ramp": Ramp,
    "spend": SpendLimit,
    "overload": Overload,
    "cache": Cache,
}
_PARTS = ["text", "thinking", "tool_use", "structured"]
_STEPS: dict[str, type[Any]] = {"fail": Fail, "cut": Cut, "stall": Stall, "slow": Slow}


def _make(kind: type[T], settings: object, where: str) -> T:
    """Makes a value of its settings; `where` is the path of its table in the file, "" for the file itself."""
    if not is_object(settings):
        raise _SettingError(f"{where}: must be a table")
    _check_names(settings, _names(kind), where)
    for field in attrs.fields(cast(Any, kind)):
        if field.default is attrs.NOTHING and field.name not in settings:
            raise _SettingError(f"{_inside(where, field.name)}: is missing")
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        # A message about one setting begins with its name.
        name, _, rest = str(error).partition(" ")
        if name.rstrip(":") in settings:
            raise _SettingError(f"{_inside(where, name.rstrip(':'))}: {rest}") from None
        raise _SettingError(f"{where}: {error}" if where else str(error)) from None


def _names(kind: type) -> list[str]:
    return [field.name for field in attrs.fields(cast(Any, kind))]


def _check_names(settings: dict[str, Any], known: list[str], where: str) -> None:
    for name in settings:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise _SettingError(f"{_inside(where, name)}: is no setting; {hint}")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _SettingError(f"{where}: must be a text, not {value!r}")
    return value


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
