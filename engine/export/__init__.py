"""Results as flat rows, one an answer: for data frames and tables, and as CSV, JSON Lines and Parquet."""

from .lines import ResultsError
from .read import read_results

__all__ = ["ResultsError", "read_results"]
