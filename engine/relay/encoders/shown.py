"""What of an answer a browser may see: switches for the four things that some apps keep to themselves.

Everything else is decided in `allowed`, field by field, and has no switch: prompts, keys, limits, organisations and the
API's own error messages never cross.
"""

import attrs

__all__ = ["SHOWN", "Shown"]


@attrs.frozen(kw_only=True)
class Shown:
    """Which of these a browser gets."""

    thinking: bool = True
    """The model's thinking, with its signatures."""
    tool_arguments: bool = True
    """The arguments of calls of the app's own tools. Without them the call is told with `{}` for its arguments."""
    usage: bool = True
    """How many tokens went in and came out."""
    request_ids: bool = False
    """The API's own id of the request, which its support can look up."""


SHOWN = Shown()
