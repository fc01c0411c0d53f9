"""The model card of a bundle: README.md, CITATION.cff and figures. Publishes nothing."""

from hfbio.card.designs import measure_designs
from hfbio.card.example import Example, run_example
from hfbio.card.licences import Licences, licences
from hfbio.card.write import read_metrics, write_card

__all__ = [
    "Example",
    "Licences",
    "licences",
    "measure_designs",
    "read_metrics",
    "run_example",
    "write_card",
]
