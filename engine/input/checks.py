"""What a request of a file has to look like: checked before anything is sent, with errors that name the key.

An entry is a Message Batches request, `{"custom_id": …, "params": {…}}`, or the shorthand `{"prompt": …}`.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ...actors.stream import MessageParams, StreamRequest
from ..api.given import check_name
from .entry import Entry, kind_of
from .formats import InputError, WholeFileError

if TYPE_CHECKING:
    from ..api.model import AnthropicModel

__all__ = [
    "CUSTOM_ID",
    "check_id",
    "check_params",
    "located",
    "object_of",
    "params_of",
    "request_with",
]

CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the API takes as an id (https://platform.claude.com/docs/en/api/creating-message-batches)."""
_SHOWN = 64  # characters of an id, beside a place
_KEYS = "a request has custom_id and params, or prompt; rows need --prompt-column or --template"
_SHAPE = '{"custom_id": …, "params": {…}}'
# What else people have in files of lines: the keys that show it, what it is, and what to do.
_FOREIGN = (
    (
        ("body", "url"),
        "is a line of an OpenAI batch",
        f"a request is {_SHAPE}, whose params are what `body` holds, with the system prompt in params.system",
    ),
    (("result", "custom_id"), "is a line of results", "name the file of requests"),
    (("response", "custom_id"), "is a line of an OpenAI batch's results", "name the file of requests"),
    (("messages",), "has the parameters of a request alone", f"a request is {_SHAPE}"),
    (("requests",), "is a Message Batches body with more than requests", 'it is {"requests": […]}, and nothing else'),
)


def params_of(entry: Entry, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a Message Batches request. Raises `InputError` when it isn't one."""
    custom_id = fields.get("custom_id")
    if len(fields) != 2 or "params" not in fields or "custom_id" not in fields:
        where = located(entry, custom_id)
        _check_keys(where, fields)
        for name in ("params", "custom_id"):
            if name not in fields:
                raise InputError(f"{where}: {name} is missing")
    params: Mapping[str, Any] = fields["params"]
    if not isinstance(params, dict):
        object_of(located(entry, custom_id), params, "params")
    check_id(entry, custom_id, "custom_id")
    if not isinstance(params.get("stream", False), bool):  # a request does not keep it
        where = located(entry, custom_id)
        raise InputError(f"{where}: params.stream must be true or false, not {kind_of(params['stream'])}")
    return params


def check_id(entry: Entry, custom_id: object, what: str, *, hint: str = "") -> None:
    """Raises `InputError` for an id that the API would not take."""
    where = entry.where
    if not isinstance(custom_id, str):
        raise InputError(f"{where}: {what} must be a string, not {kind_of(custom_id)}{hint}")
    if not CUSTOM_ID.fullmatch(custom_id):
        raise InputError(
            f"{where}: {what} must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not {_short(custom_id)}{hint}"
        )


def request_with(entry: Entry, params: Mapping[str, Any], custom_id: str, shown: str) -> StreamRequest:
    """The request with these parameters, which its user knows by the id `shown`. Raises `InputError`."""
    try:
        return StreamRequest(cast("MessageParams", params), custom_id=custom_id)
    except (TypeError, ValueError) as exc:
        raise InputError(f"{located(entry, shown)}: params: {exc}") from None


def check_params(where: str, request: StreamRequest, *, needs_model: bool) -> None:
    """Checks what can be known of the parameters before the API sees them. With `needs_model` they have to name a
    model. Raises `InputError`."""
    params = request.params
    _check_messages(where, params["messages"])
    if "model" in params and (not isinstance(params["model"], str) or not params["model"]):
        raise InputError(f"{where}: params.model must be the name of a model, not {kind_of(params['model'])}")
    if "model" in params:
        try:
            check_name("params.model", params["model"])
        except ValueError as exc:
            raise InputError(f"{where}: {exc}") from None
    if needs_model and "model" not in params:
        raise WholeFileError(f"{where}: no model: name one in params, or give --model")
    tokens = params.get("max_tokens", 1)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise InputError(f"{where}: params.max_tokens must be a number of tokens, not {_short(tokens)}")
    from .parameter_kinds import wanted_kinds

    try:
        _any_model().params_for(request)
    except TypeError as exc:
        # Requests of a file have no extra_body to put newer parameters into.
        raise InputError(f"{where}: params: {exc}".removesuffix("; newer ones go into extra_body")) from None
    for name, value in params.items():
        if (wanted := wanted_kinds(name, value)) is not None:
            raise InputError(f"{where}: params.{name} must be {wanted}, not {kind_of(value)}")


@cache
def _any_model() -> "AnthropicModel":
    # Imported here, so that other mistakes are told before `anthropic` is imported.
    from ..api.model import AnthropicModel

    return AnthropicModel("any")


def located(entry: Entry, custom_id: object) -> str:
    """The place of an entry, with its id if it brings one that can be shown."""
    if not isinstance(custom_id, str) or custom_id == entry.default_id or not custom_id.isprintable():
        return entry.where
    return f"{entry.where} ({custom_id})" if 0 < len(custom_id) <= _SHOWN else entry.where


def _check_keys(where: str, fields: Mapping[str, Any]) -> None:
    for name in fields:
        if name in ("custom_id", "params"):
            continue
        if "params" not in fields:
            for keys, what, to_do in _FOREIGN:
                if all(key in fields for key in keys):
                    raise WholeFileError(f"{where}: {what}; {to_do}")
        near = get_close_matches(name, ("custom_id", "params", "prompt"), 1)
        hint = f"did you mean {near[0]!r}?" if near else _KEYS
        if name == "prompt":
            hint = "a request has params or prompt, not both"
        raise InputError(f"{where}: unknown key {name!r}; {hint}")


def _check_messages(where: str, messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        kind = kind_of(cast(object, messages))
        raise InputError(f"{where}: params.messages must be an array of at least one message, not {kind}")
    for number, message in enumerate(cast("list[object]", messages)):
        place = f"params.messages[{number}]"
        fields = object_of(where, message, place)
        for name in ("role", "content"):
            if name not in fields:
                raise InputError(f"{where}: {place}.{name} is missing")
        role: object = fields["role"]
        content: object = fields["content"]
        if not isinstance(role, str):
            raise InputError(f"{where}: {place}.role must be a string, not {kind_of(role)}")
        if not isinstance(content, str | list):
            kind = kind_of(content)
            raise InputError(f"{where}: {place}.content must be a string or an array of blocks, not {kind}")
        for index, block in enumerate(cast("list[object]", content) if isinstance(content, list) else ()):
            object_of(where, block, f"{place}.content[{index}]")


def object_of(where: str, value: object, what: str) -> Mapping[str, Any]:
    """The value as an object. Raises `InputError` when it is none."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: {what} must be an object, not {kind_of(value)}")
    return cast("dict[str, Any]", value)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
