"""Read antibody chains from files, Hub data sets and installed examples, one record at a time."""

from hfbio.data.readers.source import Source, read

__all__ = ["Source", "read"]
