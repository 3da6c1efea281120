"""Settings from files: `--config`, whose keys are the names of the options, and `--env-file`.

An option on the command line comes first, then its variable of the environment, then the configuration.
"""

import os
import tomllib
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, cast

import typer

__all__ = ["ConfigFile", "EnvFile"]

_ONLY_HERE = ("config", "env-file", "help")  # they are read before there is a configuration


def _read_config(context: typer.Context, path: str | None) -> str | None:
    """Makes what the file says the command's defaults. Raises `typer.BadParameter`."""
    if path is None or context.resilient_parsing:
        return path
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except OSError as exc:
        raise typer.BadParameter(f"{path}: {(exc.strerror or str(exc)).lower()}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path}: not UTF-8") from None
    except tomllib.TOMLDecodeError as exc:
        raise typer.BadParameter(f"{path}: not TOML: {exc}") from None
    options = {
        spelling.removeprefix("--"): option
        for option in context.command.params
        for spelling in option.opts
        if spelling.startswith("--")
    }
    others = _keys_of_others(context)
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        option = options.get(key)
        if key in _ONLY_HERE:
            raise typer.BadParameter(f"{path}: {key} can only stand on the command line")
        if option is None:
            if key in others:
                continue
            near = get_close_matches(key.replace("_", "-"), options, 1)
            hint = f"did you mean {near[0]!r}?" if near else "the keys are the names of the options"
            raise typer.BadParameter(f"{path}: unknown key {key!r}; {hint}")
        defaults[str(option.name)] = _checked(context, f"{path}: {key}", option, value)
    context.default_map = defaults
    return path


def _keys_of_others(context: typer.Context) -> set[str]:
    """The keys that other commands with a configuration have: one file may serve them all."""
    group: Any = None if context.parent is None else context.parent.command
    commands: list[Any] = list(getattr(group, "commands", {}).values())
    found: set[str] = set()
    for command in commands:
        names = {str(name).removeprefix("--") for one in command.params for name in one.opts}
        if "config" in names:
            found |= names
    return found


def _checked(context: typer.Context, where: str, option: Any, value: Any) -> object:
    """The value as the option takes it. Raises `typer.BadParameter` for one that it does not take."""
    flag = bool(getattr(option, "is_flag", False))
    if flag is not isinstance(value, bool):
        what = "true or false" if flag else "a value"
        raise typer.BadParameter(f"{where} must be {what}, not {value!r}")
    if getattr(option, "multiple", False):
        value = cast("list[Any]", value) if isinstance(value, list) else [value]
    try:
        option.process_value(context, value)
    except Exception as exc:
        message = getattr(exc, "message", None)  # a class of Typer's own that has no public name
        if message is None and not isinstance(exc, ValueError | TypeError):
            raise
        raise typer.BadParameter(f"{where}: {message or exc}") from None
    return value


def _read_env_file(context: typer.Context, path: str | None) -> str | None:
    """Sets the variables of the file that are not set already. Raises `typer.BadParameter`."""
    if path is None or context.resilient_parsing:
        return path
    try:
        read_values: Any = import_module("dotenv").dotenv_values
        parse: Any = import_module("dotenv.parser").parse_stream
    except ImportError:
        raise typer.BadParameter("reading it needs python-dotenv: pip install python-dotenv") from None
    try:
        with open(path, encoding="utf-8") as file:
            for statement in parse(file):
                if statement.error:  # which dotenv_values only logs
                    text: str = statement.original.string
                    line = statement.original.line + text[: len(text) - len(text.lstrip())].count("\n")
                    raise typer.BadParameter(f"{path}:{line}: is not NAME=VALUE")
            file.seek(0)
            found: dict[str, str | None] = read_values(stream=file)
    except OSError as exc:
        raise typer.BadParameter(f"{path}: {(exc.strerror or str(exc)).lower()}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path}: not UTF-8") from None
    for name, value in found.items():
        if value is not None:
            try:
                os.environ.setdefault(name, value)
            except ValueError:  # a null byte
                raise typer.BadParameter(f"{path}: the value of {name} can't be a variable's") from None
    return path


# Both are eager: they are read before the other options look at the environment and at their defaults.
ConfigFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        callback=_read_config,
        is_eager=True,
        help="A TOML file of options, such as `concurrency = 200`: the keys are their names. What the command line or"
        " the environment says comes first.",
    ),
]
EnvFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        callback=_read_env_file,
        is_eager=True,
        help="Read variables such as ANTHROPIC_API_KEY from a .env file, unless they are set. No such file is read"
        " unasked.",
    ),
]
