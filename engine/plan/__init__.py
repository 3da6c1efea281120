"""What a run will cost and how long it will take, before it runs: the engine rehearses it on virtual time."""

from .past import PlanError, Results, read_past
from .plan import CacheSaving, Estimate, ModelPlan, RunPlan
from .planning import Stock, plan_run, stock_of

__all__ = [
    "CacheSaving",
    "Estimate",
    "ModelPlan",
    "PlanError",
    "Results",
    "RunPlan",
    "Stock",
    "plan_run",
    "read_past",
    "stock_of",
]
