"""What the simulated service decides: which requests it takes, what they use, and what it refuses."""

from .account import Account, Service
from .checks import check_positive, check_probability, check_whole, is_number
from .conditions import Cache, Condition, Conditions, Overload, Ramp, ServiceLimits, SpendKind, SpendLimit
from .dialect import Dialect, dialect_of
from .error_codes import ERROR_CODES, ErrorCode
from .errors import RefusalError, error_body, error_type
from .limits import Bucket, retry_after
from .models import find_model, model_page
from .paging import page_of
from .steps import NO_JSON, Abort, BadChunk, Close, Reply, Request, Send, Step, Wait
from .validation import check_count, check_create

__all__ = [
    "ERROR_CODES",
    "NO_JSON",
    "Abort",
    "Account",
    "BadChunk",
    "Bucket",
    "Cache",
    "Close",
    "Condition",
    "Conditions",
    "Dialect",
    "ErrorCode",
    "Overload",
    "Ramp",
    "RefusalError",
    "Reply",
    "Request",
    "Send",
    "Service",
    "ServiceLimits",
    "SpendKind",
    "SpendLimit",
    "Step",
    "Wait",
    "check_count",
    "check_create",
    "check_positive",
    "check_probability",
    "check_whole",
    "dialect_of",
    "error_body",
    "error_type",
    "find_model",
    "is_number",
    "model_page",
    "page_of",
    "retry_after",
]
