"""Message Batches: what is taken, how far it is, what comes of it, and what goes wrong on purpose."""

from .batch import Batch, BatchOutcome, Status
from .creation import LARGEST_BATCH, PATH
from .record import RecordedBatch
from .script import BatchOperation, BatchStep, check_batch_steps
from .sending import send_results
from .service import BatchService
from .settings import Batches, Scheduler

__all__ = [
    "LARGEST_BATCH",
    "PATH",
    "Batch",
    "BatchOperation",
    "BatchOutcome",
    "BatchService",
    "BatchStep",
    "Batches",
    "RecordedBatch",
    "Scheduler",
    "Status",
    "check_batch_steps",
    "send_results",
]
