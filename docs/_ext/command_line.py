"""The directive `command`: what `manystream COMMAND --help` says, as a page has it. So it is never out of date."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from manystream import __main__ as commands

__all__ = ["Command", "setup"]


class Command(SphinxDirective):
    """`{command} run`: the command's description, arguments, options and epilogue."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        group: Any = typer.main.get_command(commands.app)
        command = group.commands[name]
        types = get_type_hints(getattr(commands, name))
        shown = [_Parameter(found, types[found.name]) for found in command.params if not getattr(found, "hidden", 0)]
        usage = " ".join(["manystream", name, *filter(None, (one.usage for one in shown)), "[OPTIONS]"])
        lines = ["```text", usage, "```", "", command.help or "", ""]
        lines += ["| | | default |", "|---|---|---|", *(one.row for one in shown), "", *_epilogue(command.epilog or "")]
        return self.parse_text_to_nodes("\n".join(lines))


class _Parameter:
    """An argument or an option, as a page shows it."""

    def __init__(self, found: Any, type_: Any) -> None:
        self._found = found
        self._type = type_
        self._is_argument = not found.opts[0].startswith("-")

    @property
    def usage(self) -> str:
        """How it stands in the command's usage; nothing for an option that may be left out."""
        if self._is_argument:
            return self._found.name.upper() + ("..." if self._found.nargs < 0 else "")
        return f"{self._found.opts[0]} {self._value}" if self._found.required else ""

    @property
    def _value(self) -> str:
        if self._found.metavar:
            return self._found.metavar
        kinds = [self._type, *get_args(self._type)]
        for kind in kinds:
            if get_origin(kind) is Literal:
                return "|".join(get_args(kind))
        if bool in kinds:
            return ""
        return "N" if int in kinds or float in kinds else self._found.name.upper()

    @property
    def row(self) -> str:
        """Its row in a table."""
        found = self._found
        names = [found.name.upper()] if self._is_argument else [*found.opts[:-1], f"{found.opts[-1]} {self._value}"]
        shown = ", ".join(f"`{name.strip()}`" for name in names)
        default = "required" if found.required else ""
        if not found.required and found.default is not None and found.default is not False:
            default = f"`{found.default}`"
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in (shown, found.help or "", default)) + " |"


def _epilogue(text: str) -> list[str]:
    """An epilogue in paragraphs; those that are indented are an example of a file."""
    example = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    prose = [line for line in text.splitlines() if not line.startswith("  ")]
    return [*prose, "", *(["```toml", *example, "```"] if example else [])]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
