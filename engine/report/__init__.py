"""The report of a run: read from its journal, shown as tables on a terminal or as a page with plots."""

from .page import page
from .read import Report, ReportError, read_report
from .tables import tables

__all__ = ["Report", "ReportError", "page", "read_report", "tables"]
