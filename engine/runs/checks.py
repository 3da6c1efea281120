"""What a request of a file has to look like: checked before anything is sent, with errors that name the key.

An entry is a Message Batches request, `{"custom_id": …, "params": {…}}`, or the shorthand `{"prompt": …}`.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

from ...actors.stream import MessageParams, StreamRequest
from .entries import Entry, InputError, kind_of

__all__ = ["check_params", "request_of"]

_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def request_of(entry: Entry) -> StreamRequest:
    """The request that an entry is. Raises `InputError` when it isn't one."""
    where = entry.where
    fields = _object(where, entry.read(), "a request")
    known = ("custom_id", "prompt" if "prompt" in fields and "params" not in fields else "params")
    for name in fields:
        if name not in known:
            near = get_close_matches(name, ("custom_id", "params", "prompt"), 1)
            hint = f"did you mean {near[0]!r}?" if near else "a request has custom_id and params, or prompt"
            if name == "prompt":
                hint = "a request has params or prompt, not both"
            raise InputError(f"{where}: unknown key {name!r}; {hint}")
    custom_id = fields.get("custom_id")
    if "prompt" in fields:
        prompt = fields["prompt"]
        if not isinstance(prompt, str) or not prompt:
            raise InputError(f"{where}: prompt must be a non-empty string, not {kind_of(prompt)}")
        params: Mapping[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
        custom_id = fields.get("custom_id", entry.default_id)
    else:
        for name in ("params", "custom_id"):
            if name not in fields:
                raise InputError(f"{where}: {name} is missing")
        params = _object(where, fields["params"], "params")
    if not isinstance(custom_id, str):
        raise InputError(f"{where}: custom_id must be a string, not {kind_of(custom_id)}")
    if not _CUSTOM_ID.fullmatch(custom_id):
        raise InputError(
            f"{where}: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not {_short(custom_id)}"
        )
    try:
        return StreamRequest(cast("MessageParams", params), custom_id=custom_id)
    except TypeError as exc:
        raise InputError(f"{where}: params: {exc}") from None


def check_params(where: str, request: StreamRequest, *, needs_model: bool) -> None:
    """Checks what can be known of the parameters before the API sees them. With `needs_model` they have to name a
    model. Raises `InputError`."""
    params = request.params
    messages: object = params["messages"]
    if not isinstance(messages, list) or not messages:
        kind = kind_of(cast(object, messages))
        raise InputError(f"{where}: params.messages must be an array of at least one message, not {kind}")
    for number, message in enumerate(cast("list[object]", messages)):
        place = f"params.messages[{number}]"
        fields = _object(where, message, place)
        for name in ("role", "content"):
            if name not in fields:
                raise InputError(f"{where}: {place}.{name} is missing")
    if "model" in params and (not isinstance(params["model"], str) or not params["model"]):
        raise InputError(f"{where}: params.model must be the name of a model, not {kind_of(params['model'])}")
    if needs_model and "model" not in params:
        raise InputError(f"{where}: no model: name one in params, or give --model")
    tokens = params.get("max_tokens", 1)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise InputError(f"{where}: params.max_tokens must be a number of tokens, not {_short(tokens)}")
    from ..api.model import AnthropicModel  # here, so that the mistakes above are told before `anthropic` is imported

    try:
        AnthropicModel("any").params_for(request)
    except TypeError as exc:
        # Requests of a file have no extra_body to put newer parameters into.
        raise InputError(f"{where}: params: {exc}".removesuffix("; newer ones go into extra_body")) from None


def _object(where: str, value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {what} must be an object, not {kind_of(value)}")
    return cast("dict[str, Any]", value)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
