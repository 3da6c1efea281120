"""The report of a run: read from its journal, shown as tables on a terminal or as a page with plots."""

from .figures import figures, figures_of_several
from .page import page
from .read import Report, ReportError, read_report
from .tables import tables
from .together import together

__all__ = ["Report", "ReportError", "figures", "figures_of_several", "page", "read_report", "tables", "together"]
