"""hfbio: fine-tune protein language models on antibodies, publish them, sample from them."""

from __future__ import annotations

__version__ = "0.1.0"
