"""Many streams: admission, HTTP clients, combinators, runs, the command line and the simulator.

The names are imported when they are first used: the command's help and the pytest fixture need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .admission import EngineBusy, Group, Limits, Reason
    from .api import AnthropicModel, LimitsError, MissingCredentialsError
    from .api.clients import AnthropicClient
    from .budget.budget import Budget
    from .budget.host import HostBudget
    from .budget.ray import RayBudget
    from .budget.redis import RedisBudget
    from .budget.stats import BudgetStats
    from .combinators import (
        ChannelContext,
        CompletionChannel,
        HedgeContext,
        MergeChannel,
        RaceContext,
        RaceStream,
        Stream,
        StreamContext,
        TextStream,
        Until,
    )
    from .engine import Engine
    from .export import ResultsError, read_results
    from .gateway.endings import AnswerFailed, AnswerTimedOut
    from .input import (
        Beside,
        Columns,
        InputError,
        Invalid,
        InvalidRequestsError,
        Numbered,
        RequestFile,
        RequestPipe,
        read_requests,
    )
    from .plan import CacheSaving, Estimate, ModelPlan, PlanError, RunPlan, plan_run
    from .prices import Price
    from .relay.access import Authorize
    from .relay.direct import relay_response
    from .relay.encoders import Shown
    from .relay.hub import RelayProtocol, StreamHub, Ticket
    from .relay.requests import Asked
    from .runs import (
        Failure,
        Figures,
        OutputError,
        Resumed,
        Run,
        RunAgain,
        RunStopped,
        Source,
        StopReason,
        Totals,
        open_run,
    )
    from .simulator import Simulator
    from .stats import ConnectionStats, EngineStats, LimitStats, PoolStats, WaitingRequest
    from .sync import (
        SyncEngine,
        SyncHandle,
        SyncItemStream,
        SyncPartialStream,
        SyncResults,
        SyncStream,
        SyncTextStream,
    )

_HOMES = {
    "AnswerFailed": "gateway.endings",
    "AnswerTimedOut": "gateway.endings",
    "AnthropicClient": "api.clients",
    "ChannelContext": "combinators",
    "HedgeContext": "combinators",
    "RaceContext": "combinators",
    "RaceStream": "combinators",
    "StreamContext": "combinators",
    "TextStream": "combinators",
    "Until": "combinators",
    "Reason": "admission",
    "Budget": "budget.budget",
    "BudgetStats": "budget.stats",
    "HostBudget": "budget.host",
    "RayBudget": "budget.ray",
    "RedisBudget": "budget.redis",
    "CacheSaving": "plan",
    "Estimate": "plan",
    "ModelPlan": "plan",
    "PlanError": "plan",
    "RunPlan": "plan",
    "plan_run": "plan",
    "Failure": "runs",
    "Invalid": "input",
    "RequestPipe": "input",
    "Asked": "relay.requests",
    "Authorize": "relay.access",
    "RelayProtocol": "relay.hub",
    "Shown": "relay.encoders",
    "StreamHub": "relay.hub",
    "Ticket": "relay.hub",
    "relay_response": "relay.direct",
    "Resumed": "runs",
    "RunAgain": "runs",
    "StopReason": "runs",
    "Source": "runs",
    "Totals": "runs",
    "AnthropicModel": "api",
    "CompletionChannel": "combinators",
    "ConnectionStats": "stats",
    "Engine": "engine",
    "EngineBusy": "admission",
    "EngineStats": "stats",
    "Group": "admission",
    "LimitStats": "stats",
    "Limits": "admission",
    "LimitsError": "api",
    "MergeChannel": "combinators",
    "MissingCredentialsError": "api",
    "PoolStats": "stats",
    "Price": "prices",
    "Simulator": "simulator",
    "Stream": "combinators",
    "WaitingRequest": "stats",
    "SyncEngine": "sync",
    "SyncHandle": "sync",
    "SyncItemStream": "sync",
    "SyncPartialStream": "sync",
    "SyncResults": "sync",
    "SyncStream": "sync",
    "SyncTextStream": "sync",
    "Figures": "runs",
    "InputError": "input",
    "InvalidRequestsError": "input",
    "OutputError": "runs",
    "Beside": "input",
    "Columns": "input",
    "Numbered": "input",
    "RequestFile": "input",
    "Run": "runs",
    "RunStopped": "runs",
    "open_run": "runs",
    "read_results": "export",
    "ResultsError": "export",
    "read_requests": "input",
}

__all__ = [
    "AnswerFailed",
    "AnswerTimedOut",
    "AnthropicClient",
    "AnthropicModel",
    "Asked",
    "Authorize",
    "Beside",
    "Budget",
    "BudgetStats",
    "CacheSaving",
    "ChannelContext",
    "Columns",
    "CompletionChannel",
    "ConnectionStats",
    "Engine",
    "EngineBusy",
    "EngineStats",
    "Estimate",
    "Failure",
    "Figures",
    "Group",
    "HedgeContext",
    "HostBudget",
    "InputError",
    "Invalid",
    "InvalidRequestsError",
    "LimitStats",
    "Limits",
    "LimitsError",
    "MergeChannel",
    "MissingCredentialsError",
    "ModelPlan",
    "Numbered",
    "OutputError",
    "PlanError",
    "PoolStats",
    "Price",
    "RaceContext",
    "RaceStream",
    "RayBudget",
    "Reason",
    "RedisBudget",
    "RelayProtocol",
    "RequestFile",
    "RequestPipe",
    "ResultsError",
    "Resumed",
    "Run",
    "RunAgain",
    "RunPlan",
    "RunStopped",
    "Shown",
    "Simulator",
    "Source",
    "StopReason",
    "Stream",
    "StreamContext",
    "StreamHub",
    "SyncEngine",
    "SyncHandle",
    "SyncItemStream",
    "SyncPartialStream",
    "SyncResults",
    "SyncStream",
    "SyncTextStream",
    "TextStream",
    "Ticket",
    "Totals",
    "Until",
    "WaitingRequest",
    "open_run",
    "plan_run",
    "read_requests",
    "read_results",
    "relay_response",
]


if not TYPE_CHECKING:  # a type checker that saw it would take every name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
