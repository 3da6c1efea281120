"""manystream: hundreds to thousands of Claude streams in one process, on asyncio and on trio.

The names below come from `manystream.actors` (one stream) and `manystream.engine` (many), and are imported when they
are first used, so that `import manystream` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actors import (
        ApiError as ApiError,
        Attempt as Attempt,
        CitationPartDelta as CitationPartDelta,
        CompactionPart as CompactionPart,
        CompactionPartDelta as CompactionPartDelta,
        Conflate as Conflate,
        ConnectionFailed as ConnectionFailed,
        ContainerUploadPart as ContainerUploadPart,
        DeadlineExceeded as DeadlineExceeded,
        ErrorInfo as ErrorInfo,
        FallbackPart as FallbackPart,
        Lossless as Lossless,
        MCPToolListingPart as MCPToolListingPart,
        Mailbox as Mailbox,
        MessageParams as MessageParams,
        Part as Part,
        PartDelta as PartDelta,
        PartDeltaEvent as PartDeltaEvent,
        PartEndEvent as PartEndEvent,
        PartEvent as PartEvent,
        PartStartEvent as PartStartEvent,
        ProtocolError as ProtocolError,
        RedactedThinkingPart as RedactedThinkingPart,
        RestartEvent as RestartEvent,
        RetryPolicy as RetryPolicy,
        ServerToolCallPart as ServerToolCallPart,
        ServerToolResultPart as ServerToolResultPart,
        SnapshotEvent as SnapshotEvent,
        Snapshots as Snapshots,
        State as State,
        StreamCancelled as StreamCancelled,
        StreamEndEvent as StreamEndEvent,
        StreamError as StreamError,
        StreamHandle as StreamHandle,
        StreamRequest as StreamRequest,
        StreamResult as StreamResult,
        StreamStartEvent as StreamStartEvent,
        StreamTruncated as StreamTruncated,
        TaggedEvent as TaggedEvent,
        TextPart as TextPart,
        TextPartDelta as TextPartDelta,
        ThinkingPart as ThinkingPart,
        ThinkingPartDelta as ThinkingPartDelta,
        Timings as Timings,
        ToolCallPart as ToolCallPart,
        ToolCallPartDelta as ToolCallPartDelta,
        UnknownEvent as UnknownEvent,
        UnknownPart as UnknownPart,
        UnknownPartDelta as UnknownPartDelta,
        Usage as Usage,
        UsageEvent as UsageEvent,
        decode_event as decode_event,
        encode_event as encode_event,
        tool_result as tool_result,
    )
    from .engine import (
        AnthropicModel as AnthropicModel,
        Engine as Engine,
        EngineBusy as EngineBusy,
        EngineStats as EngineStats,
        MergeChannel as MergeChannel,
        MissingCredentialsError as MissingCredentialsError,
        Stream as Stream,
    )

__version__ = "0.1.0"

_FACES = ("actors", "engine")


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for face in _FACES:
            module = import_module(f".{face}", __name__)
            if name in module.__all__:
                value = getattr(module, name)
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for face in _FACES for name in import_module(f".{face}", __name__).__all__)})
