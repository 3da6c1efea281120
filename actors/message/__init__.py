"""What a message is made of: its parts and their deltas, its usage, its container, and the turn it becomes."""

from .container import normalise_container
from .deltas import (
    CitationPartDelta,
    CompactionPartDelta,
    PartDelta,
    TextPartDelta,
    ThinkingPartDelta,
    ToolCallPartDelta,
    UnknownPartDelta,
)
from .parts import (
    EMPTY,
    CompactionPart,
    ContainerUploadPart,
    FallbackPart,
    MCPToolListingPart,
    Part,
    RedactedThinkingPart,
    ServerToolCallPart,
    ServerToolResultPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UnknownPart,
    part_from_block,
)
from .turn import mended, to_message_param, tool_result
from .usage import Usage, is_count, merge_usage, sum_of_usages, usage_from_json

__all__ = [
    "EMPTY",
    "CitationPartDelta",
    "CompactionPart",
    "CompactionPartDelta",
    "ContainerUploadPart",
    "FallbackPart",
    "MCPToolListingPart",
    "Part",
    "PartDelta",
    "RedactedThinkingPart",
    "ServerToolCallPart",
    "ServerToolResultPart",
    "TextPart",
    "TextPartDelta",
    "ThinkingPart",
    "ThinkingPartDelta",
    "ToolCallPart",
    "ToolCallPartDelta",
    "UnknownPart",
    "UnknownPartDelta",
    "Usage",
    "is_count",
    "mended",
    "merge_usage",
    "normalise_container",
    "part_from_block",
    "sum_of_usages",
    "to_message_param",
    "tool_result",
    "usage_from_json",
]
