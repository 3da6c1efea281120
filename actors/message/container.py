"""The one time in a message, `container.expires_at`, written the way the SDK writes it."""

import re
from datetime import datetime, timedelta
from typing import cast

from ..wire import JsonObject

__all__ = ["normalise_container"]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def normalise_container(message: JsonObject) -> JsonObject:
    """`message` with its container's `expires_at` in the SDK's form: microseconds if there are any, UTC as `Z`.

    What is not a time in ISO 8601 stays as it is. The message given is left alone.
    """
    container: object = message.get("container")
    if not isinstance(container, dict):
        return message
    container = cast("JsonObject", container)
    value: object = container.get("expires_at")
    if not isinstance(value, str) or not _DATE.match(value):
        return message
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        return message
    text = moment.isoformat()
    if moment.utcoffset() == timedelta(0):
        text = moment.replace(tzinfo=None).isoformat() + "Z"
    return {**message, "container": {**container, "expires_at": text}}
