"""The report of a run: read from its journal, shown as tables on a terminal or as a page with plots."""

from .figures import figures
from .page import page
from .read import Report, ReportError, read_report
from .tables import tables

__all__ = ["Report", "ReportError", "figures", "page", "read_report", "tables"]
