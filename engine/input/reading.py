"""How the entries of an input become requests: as they stand, or as rows of a table, each with its prompt.

| the entry                                        | the request                                                    |
|--------------------------------------------------|----------------------------------------------------------------|
| any object, with a template or a prompt column   | a row: the prompt comes from there                             |
| `{"prompt": …}` without `params`                 | a row, whose prompt is in `prompt`                             |
| `{"custom_id": …, "params": {…}}`                | itself                                                         |
| a `StreamRequest` (from Python)                  | itself                                                         |

What else is in a row is never sent: it goes beside the result, and is no part of what makes a request the same.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, cast

import attrs

from ...actors.message import EMPTY
from ...actors.stream import MessageParams, StreamRequest, check_number
from .checks import CUSTOM_ID, check_id, check_params, located, object_of, params_of, request_with
from .entry import Entry, kind_of
from .formats import InputError, WholeFileError
from .numbered import Beside, Numbered, shown_id
from .remarks import Remarks
from .template import Template

__all__ = ["Columns", "Reading"]

_KEYS = ("custom_id", "params", "prompt")
_DIGEST_BYTES = 16


def _column(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"Columns.{field.name} is the name of a column, not {value!r}")


@attrs.frozen(kw_only=True)
class Columns:
    """Which columns of a table mean what. The others travel beside the results."""

    prompt: str | None = attrs.field(default=None, validator=_column)
    """The column with the prompts; None for `prompt`, or for a template."""
    id: str | None = attrs.field(default=None, validator=_column)
    """The column with the ids, which may be any texts or whole numbers; None for `custom_id` if there is one, whose
    values are ids as the API takes them, and else the rows' numbers."""


@attrs.frozen(kw_only=True)
class Reading:
    """How an input is read."""

    parameters: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """Parameters of the API for all requests, in place of their own."""
    template: Template | None = None
    columns: Columns = Columns()
    epochs: int = 1
    """How many times each entry is answered."""
    needs_model: bool = False
    """Whether each request has to name its model."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.columns, Columns):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"columns is Columns(prompt=…, id=…), not {self.columns!r}")
        if self.template is not None and self.columns.prompt is not None:
            raise ValueError("the prompts come from a template or from a column: give one of the two")
        check_number("epochs is at least 1", self.epochs, least=1, whole=True)

    def checked(self, entry: Entry, remarks: Remarks | None = None) -> list[Numbered]:
        """The requests of an entry, one for each epoch, with all checked that can be. Raises `InputError`."""
        requests = self.numbered(entry, remarks)
        where = located(entry, shown_id(requests[0].request, requests[0].beside))
        check_params(where, requests[0].request, needs_model=self.needs_model)  # they differ in their ids alone
        return requests

    def numbered(self, entry: Entry, remarks: Remarks | None = None) -> list[Numbered]:
        """The same, of an entry that was checked before. Raises `InputError` when it is no request."""
        value = entry.read()
        given = cast("StreamRequest", value) if isinstance(value, StreamRequest) else None
        if given is not None:
            params: Mapping[str, Any] = given.params
            custom_id, own_id, row = given.custom_id or entry.default_id, None, None
        else:
            fields = object_of(entry.where, cast("object", value), "a request")
            if entry.is_row or self._is_row(fields):
                custom_id, own_id = self._ids(entry, fields)
                where = located(entry, own_id or custom_id)
                params = {"messages": [{"role": "user", "content": self._prompt(where, fields)}]}
                row = self._row(fields) or None
                if remarks is not None:
                    remarks.columns(fields, lambda names: self._odd_columns(entry.where, names))
            else:
                params = params_of(entry, fields)
                custom_id, own_id, row = fields["custom_id"], None, None
        if remarks is not None and self.parameters:
            remarks.replaced.update(
                name for name, given in self.parameters.items() if name in params and params[name] != given
            )
        return [self._request(entry, given, params, custom_id, own_id, row, epoch) for epoch in range(self.epochs)]

    def number(self, ordinal: int) -> int:
        """The number of the entry from which the request with this number came."""
        return (ordinal - 1) // self.epochs + 1

    def entry_id(self, first: Numbered) -> str:
        """What the user knows an entry by, from the first of its requests."""
        shown = shown_id(first.request, first.beside)
        return shown.removesuffix("__1") if self.epochs > 1 else shown

    def _request(
        self,
        entry: Entry,
        given: StreamRequest | None,
        params: Mapping[str, Any],
        custom_id: str,
        own_id: str | None,
        row: Mapping[str, Any] | None,
        epoch: int,
    ) -> Numbered:
        ordinal = (entry.number - 1) * self.epochs + epoch + 1
        behind = f"__{epoch + 1}" if self.epochs > 1 else ""
        if own_id is not None:
            own_id += behind
            if CUSTOM_ID.fullmatch(own_id):
                custom_id, own_id = own_id, None
            else:
                custom_id += behind
        elif behind:
            custom_id += behind
            check_id(entry, custom_id, f"custom_id with {behind!r} behind it")
        if given is not None:
            request = attrs.evolve(given, params={**params, **self.parameters}, custom_id=custom_id)
        else:
            request = request_with(entry, {**params, **self.parameters}, custom_id, own_id or custom_id)
        if own_id is None and row is None and not behind:
            return Numbered(ordinal, request)
        return Numbered(ordinal, request, Beside(id=own_id, epoch=epoch + 1 if behind else None, row=row))

    # -- rows

    def _is_row(self, fields: Mapping[str, Any]) -> bool:
        if self.template is not None or self.columns.prompt is not None:
            return True
        return "params" not in fields and ("prompt" in fields or self.columns.id is not None)

    def _ids(self, entry: Entry, fields: Mapping[str, Any]) -> tuple[str, str | None]:
        """The `custom_id`, and the user's own id if any text may be one: then the `custom_id` is for those that the API
        would not take."""
        column = self.columns.id
        if column is None:
            custom_id = fields.get("custom_id", entry.default_id)
            check_id(entry, custom_id, "custom_id", hint="; --id-column custom_id takes any text")
            return custom_id, None
        if column not in fields:
            raise WholeFileError(f"{entry.where}: {_no_column(column, fields)}")
        said = fields[column]
        if isinstance(said, bool) or not isinstance(said, str | int) or said == "":
            kind = repr(said) if isinstance(said, float) else kind_of(said)
            raise InputError(f"{entry.where}: column {column!r} has the ids: a text or a whole number, not {kind}")
        own_id = str(said)
        return f"id-{blake2b(own_id.encode(), digest_size=_DIGEST_BYTES).hexdigest()}", own_id

    def _prompt(self, where: str, fields: Mapping[str, Any]) -> str:
        if self.template is not None:
            text = self.template.render(where, fields)
            if not text.strip():
                raise InputError(f"{where}: {self.template.name} gives an empty prompt")
            return text
        column = self.columns.prompt or "prompt"
        if column not in fields:
            raise WholeFileError(f"{where}: {_no_column(column, fields)}")
        prompt = fields[column]
        if not isinstance(prompt, str) or not prompt:
            raise InputError(f"{where}: {column} must be a non-empty string, not {kind_of(prompt)}")
        return prompt

    def _row(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        left_out = {"custom_id"} if self.columns.id in (None, "custom_id") else set[str]()
        if self.template is None:
            left_out.add(self.columns.prompt or "prompt")
        return {name: value for name, value in fields.items() if name not in left_out}

    def _odd_columns(self, where: str, names: set[str]) -> list[str]:
        """What to say of columns that may be meant otherwise."""
        said: list[str] = []
        meant = {self.columns.prompt, self.columns.id, *_KEYS}
        for name in sorted(names - meant):
            if self.template is not None and name in self.template.text:
                continue
            if name in MessageParams.__annotations__:
                said.append(f"{where}: the column {name!r} is not sent; --param {name}=… holds for all requests")
            elif near := get_close_matches(name, _KEYS, 1, 0.75):
                said.append(f"{where}: {name!r} is taken for a column, and not sent; did you mean {near[0]!r}?")
        return said


def _no_column(column: str, fields: Mapping[str, Any]) -> str:
    near = get_close_matches(column, fields, 1)
    there = ", ".join(map(repr, list(fields)[:10])) + (" …" if len(fields) > 10 else "")
    hint = f"did you mean {near[0]!r}?" if near else f"there are {there}"
    if column == "prompt":
        hint = f"the columns are {there}: name the prompts' one (--prompt-column), or give a template (--template)"
    return f"no column {column!r}; {hint}"
