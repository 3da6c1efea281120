"""One stream, end to end: the wire's bytes in, part events out, and one true ending. It knows nothing of the engine.

The rooms, in the order in which bytes go through them: `framing` (bytes to frames), `wire` (frames to wire events),
`assembler` (wire events to part events and the message, in an event `log`), `mailbox` (the log to consumers), and the
`actor` that owns them all.
"""

from .codec import decode_event, encode_event
from .deadlines import Deadlines
from .deltas import (
    CitationPartDelta,
    CompactionPartDelta,
    PartDelta,
    TextPartDelta,
    ThinkingPartDelta,
    ToolCallPartDelta,
    UnknownPartDelta,
)
from .errors import (
    ApiError,
    ConnectDeadlineExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    ErrorInfo,
    FirstContentDeadlineExceeded,
    FirstEventDeadlineExceeded,
    IdleDeadlineExceeded,
    ProtocolError,
    QueuedDeadlineExceeded,
    SilenceDeadlineExceeded,
    StreamCancelled,
    StreamError,
    StreamTruncated,
    TotalDeadlineExceeded,
)
from .events import (
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
from .handle import Snapshots, StreamHandle
from .lifecycle import State
from .mailbox import Conflate, Lossless, Mailbox
from .parts import (
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
from .request import MessageParams, StreamRequest
from .result import Attempt, StreamResult, Timings
from .retry import RetryPolicy
from .turn import tool_result
from .usage import Usage

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
