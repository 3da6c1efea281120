"""What the simulated service decides: which requests it takes, what they use, and what it refuses."""

from .conditions import Cache, Condition, Conditions, Limits, Overload, Ramp, SpendLimit
from .errors import RefusalError, error_body, error_type
from .exchange import Abort, BadChunk, Close, Request, Response, Send, Step, Wait
from .models import find_model, model_page
from .service import Account, Service
from .validation import check_count, check_create

__all__ = [
    "Abort",
    "Account",
    "BadChunk",
    "Cache",
    "Close",
    "Condition",
    "Conditions",
    "Limits",
    "Overload",
    "Ramp",
    "RefusalError",
    "Request",
    "Response",
    "Send",
    "Service",
    "SpendLimit",
    "Step",
    "Wait",
    "check_count",
    "check_create",
    "error_body",
    "error_type",
    "find_model",
    "model_page",
]
