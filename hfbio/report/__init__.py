"""Reports: metrics and designs as text, figures and pages. Computes no metric."""

from hfbio.report.page import write_report

__all__ = ["write_report"]
