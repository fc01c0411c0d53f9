"""From files to one table of numbered chains, and from the table to parts that do not leak."""

from hfbio.data.identity import Nearest, nearest_identity
from hfbio.data.intake import ImportReport, import_table, load_table, read_numbered
from hfbio.data.leak import LeakReport, measure_leak
from hfbio.data.pasted import Pasted, read_pasted
from hfbio.data.readers import Source, read
from hfbio.data.reject import Fault, Reject
from hfbio.data.simulate import simulate, simulate_table
from hfbio.data.split import SplitReport, split_table
from hfbio.data.stats import TableStats, table_stats
from hfbio.data.thinned import ThinReport, thin_table

__all__ = [
    "Fault",
    "ImportReport",
    "LeakReport",
    "Nearest",
    "Pasted",
    "Reject",
    "Source",
    "SplitReport",
    "TableStats",
    "ThinReport",
    "import_table",
    "load_table",
    "measure_leak",
    "nearest_identity",
    "read",
    "read_numbered",
    "read_pasted",
    "simulate",
    "simulate_table",
    "split_table",
    "table_stats",
    "thin_table",
]
