"""What is said of one stream as plain values: its request, its events, its deadlines, its retries, its result."""

from .codec import decode_event, encode_event
from .deadlines import DeadlineName, Deadlines
from .due import next_due
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
from .failure import STATUS_OF_TYPE, ErrorInfo, bare
from .lifecycle import FINAL, Lifecycle, State
from .own_copy import snapshot
from .pickling import revive
from .recovery import NextStep, Recovery, continuation, next_step, takes_continuation
from .request import MessageParams, RequestLike, StreamRequest
from .result import (
    ApiError,
    Attempt,
    ConnectDeadlineExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    Ending,
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
from .retry import RetryPolicy, is_retryable, retry_after
from .stopwatch import Stopwatch, Timings, nearest_rank

__all__ = [
    "FINAL",
    "STATUS_OF_TYPE",
    "ApiError",
    "Attempt",
    "ConnectDeadlineExceeded",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DeadlineName",
    "Deadlines",
    "Ending",
    "ErrorInfo",
    "FirstContentDeadlineExceeded",
    "FirstEventDeadlineExceeded",
    "IdleDeadlineExceeded",
    "Lifecycle",
    "MessageParams",
    "NextStep",
    "PartDeltaEvent",
    "PartEndEvent",
    "PartEvent",
    "PartStartEvent",
    "ProtocolError",
    "QueuedDeadlineExceeded",
    "Recovery",
    "RequestLike",
    "RestartEvent",
    "RetryPolicy",
    "SilenceDeadlineExceeded",
    "SnapshotEvent",
    "State",
    "Stopwatch",
    "StreamCancelled",
    "StreamEndEvent",
    "StreamError",
    "StreamRequest",
    "StreamResult",
    "StreamStartEvent",
    "StreamTruncated",
    "TaggedEvent",
    "Timings",
    "TotalDeadlineExceeded",
    "UnknownEvent",
    "UsageEvent",
    "bare",
    "continuation",
    "decode_event",
    "encode_event",
    "is_retryable",
    "nearest_rank",
    "next_due",
    "next_step",
    "retry_after",
    "revive",
    "snapshot",
    "takes_continuation",
]
