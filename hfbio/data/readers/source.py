"""Pick the reader for a source: a file, a Hub data set, or an example in an installed package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hfbio.data.readers.columnar import read_hub, read_parquet
from hfbio.data.readers.delimited import read_delimited
from hfbio.data.readers.fasta import read_fasta
from hfbio.data.reject import Reject
from hfbio.errors import DataError, MissingExtra
from hfbio.record import AntibodyRecord

_FASTA: Final = (".fa", ".fasta", ".faa", ".fna", ".fas")
_DELIMITERS: Final = {".tsv": "\t", ".tab": "\t", ".csv": ","}
_EXAMPLES: Final = {"ExampleDb": ("pyalakazam", "data/ExampleDb.tsv.gz")}


def read(source: str | Path) -> Iterator[AntibodyRecord | Reject]:
    """Read the chains of ``source``, one by one; a bad row is a `Reject`, never an exception.

    Sources, each with or without ``.gz`` where it is text:

    - ``.tsv`` ``.tab`` ``.csv``: a table with a header: AIRR Rearrangement, or any names that
      `hfbio.data.columns` knows, single chains or heavy-light pairs;
    - ``.fasta`` ``.fa`` ``.faa`` ``.fna`` ``.fas``: amino acids or nucleotides;
    - ``.parquet``: the same columns;
    - ``hf://datasets/USER/NAME[@REVISION][/SPLIT or /PATH]``: a data set on the Hugging Face Hub;
    - ``example:ExampleDb``: 1,999 human IGH reads as AIRR TSV (AGPL-3, from pyalakazam).

    Records are what the source says; `hfbio.data.clean` numbers and checks them.

    Raises:
        DataError: the source as a whole cannot be used. Shape and header are looked at now; damage
            further down raises while iterating.
        MissingExtra: the package of an example is not installed.
    """
    name = str(source)
    if name.startswith("hf://"):
        return read_hub(name)
    if name.startswith("example:"):
        return read_delimited(_example(name.removeprefix("example:")), "\t", source=name)
    path = Path(source)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    suffix = suffix.lower()
    if suffix in _FASTA:
        return read_fasta(path)
    if suffix in _DELIMITERS:
        return read_delimited(path, _DELIMITERS[suffix])
    if suffix == ".parquet":
        return read_parquet(path)
    known = " ".join((*_DELIMITERS, *_FASTA, ".parquet"))
    raise DataError(f"{name}: cannot tell its format from {suffix!r}; name it one of: {known}")


def _example(name: str) -> Path:
    if name not in _EXAMPLES:
        raise DataError(f"no example {name!r}; there is: {', '.join(_EXAMPLES)}")
    package, inside = _EXAMPLES[name]
    # The package is looked up and never imported: only its data file is wanted.
    found = find_spec(package)
    if found is None or found.origin is None:
        raise MissingExtra("demo")
    return Path(found.origin).parent / inside
