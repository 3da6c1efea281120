"""What an app does with one stream or many: read one, merge, gather, race, hedge, take them as they end."""

from .as_completed import CompletionChannel
from .merge import MergeChannel
from .single import Stream

__all__ = ["CompletionChannel", "MergeChannel", "Stream"]
