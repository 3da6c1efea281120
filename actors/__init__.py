"""One stream, end to end: the wire's bytes in, part events out, and one true ending. It knows nothing of the engine.

The rooms, in the order in which bytes go through them: `framing` (bytes to frames), `wire` (frames to wire events),
`assembler` (wire events to part events and the message, in an event `log`), `mailbox` (the log to consumers), and the
`actor` that owns them all.
"""

from .channel.mailbox import Conflate, Lossless, Mailbox
from .handle import StreamHandle
from .message.deltas import (
    CitationPartDelta,
    CompactionPartDelta,
    PartDelta,
    TextPartDelta,
    ThinkingPartDelta,
    ToolCallPartDelta,
    UnknownPartDelta,
)
from .message.parts import (
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
)
from .message.turn import tool_result
from .message.usage import Usage
from .snapshots import Snapshots
from .stream.codec import decode_event, encode_event
from .stream.deadlines import Deadlines
from .stream.events import (
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    SnapshotEvent,
    StreamEndEvent,
    StreamStartEvent,
    TaggedEvent,
    UnknownEvent,
    UsageEvent,
)
from .stream.failure import ErrorInfo
from .stream.lifecycle import State
from .stream.request import MessageParams, StreamRequest
from .stream.result import (
    ApiError,
    Attempt,
    ConnectDeadlineExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    FirstContentDeadlineExceeded,
    FirstEventDeadlineExceeded,
    IdleDeadlineExceeded,
    ProtocolError,
    QueuedDeadlineExceeded,
    SilenceDeadlineExceeded,
    StreamCancelled,
    StreamError,
    StreamResult,
    StreamTruncated,
    TotalDeadlineExceeded,
)
from .stream.retry import RetryPolicy
from .stream.stopwatch import Timings

__all__ = [
    "ApiError",
    "Attempt",
    "CitationPartDelta",
    "CompactionPart",
    "CompactionPartDelta",
    "Conflate",
    "ConnectDeadlineExceeded",
    "ConnectionFailed",
    "ContainerUploadPart",
    "DeadlineExceeded",
    "Deadlines",
    "ErrorInfo",
    "FallbackPart",
    "FirstContentDeadlineExceeded",
    "FirstEventDeadlineExceeded",
    "IdleDeadlineExceeded",
    "Lossless",
    "MCPToolListingPart",
    "Mailbox",
    "MessageParams",
    "Part",
    "PartDelta",
    "PartDeltaEvent",
    "PartEndEvent",
    "PartEvent",
    "PartStartEvent",
    "ProtocolError",
    "QueuedDeadlineExceeded",
    "RedactedThinkingPart",
    "RestartEvent",
    "RetryPolicy",
    "ServerToolCallPart",
    "ServerToolResultPart",
    "SilenceDeadlineExceeded",
    "SnapshotEvent",
    "Snapshots",
    "State",
    "StreamCancelled",
    "StreamEndEvent",
    "StreamError",
    "StreamHandle",
    "StreamRequest",
    "StreamResult",
    "StreamStartEvent",
    "StreamTruncated",
    "TaggedEvent",
    "TextPart",
    "TextPartDelta",
    "ThinkingPart",
    "ThinkingPartDelta",
    "Timings",
    "ToolCallPart",
    "ToolCallPartDelta",
    "TotalDeadlineExceeded",
    "UnknownEvent",
    "UnknownPart",
    "UnknownPartDelta",
    "Usage",
    "UsageEvent",
    "decode_event",
    "encode_event",
    "tool_result",
]
