"""Pick the reader for a source: files, standard input, a Hub data set, an installed example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hfbio.data.readers.columnar import read_hub, read_parquet
from hfbio.data.readers.delimited import read_delimited
from hfbio.data.readers.fasta import read_fasta
from hfbio.data.readers.jsonl import read_jsonl
from hfbio.data.readers.places import FORMATS, find_files, format_of, is_glob
from hfbio.data.readers.structure import read_structure
from hfbio.data.readers.text import STDIN
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError, MissingExtra, SettingError
from hfbio.record import AntibodyRecord

_EXAMPLES: Final = {"ExampleDb": ("pyalakazam", "data/ExampleDb.tsv.gz")}
_NAMES: Final = tuple(dict.fromkeys(FORMATS.values()))


@dataclass(frozen=True)
class Source:
    """A place to read from, and what its user knows about it. ``str`` gives the place."""

    place: str  # see `read`
    format: str = ""  # tsv, csv, fasta, parquet, jsonl or pdb; by the name of the file if empty
    columns: Mapping[str, str] = field(default_factory=dict)  # see `data.columns.parse_columns`

    def __post_init__(self) -> None:
        if self.format and self.format not in _NAMES:
            raise SettingError(f"format must be one of {', '.join(_NAMES)}, got {self.format!r}")

    def __str__(self) -> str:
        return self.place


def read(source: str | Path | Source) -> Iterator[AntibodyRecord | Reject]:
    """Read the chains of ``source``, one by one; a bad row is a `Reject`, never an exception.

    Sources, each plain, ``.gz`` or ``.zst`` where it is text:

    - ``.tsv`` ``.tab`` ``.csv``: a table with a header: AIRR Rearrangement, OAS data units, 10x
      contigs, or any names that `hfbio.data.columns` knows, single chains or heavy-light pairs;
    - ``.fasta`` ``.fa`` ``.faa`` ``.fna`` ``.fas``: amino acids or nucleotides;
    - ``.parquet`` ``.jsonl`` ``.ndjson``: the same columns;
    - ``.pdb`` ``.ent`` ``.cif`` ``.mmcif``: the chains of a structure;
    - a folder or a glob: each file that it holds, see `hfbio.data.readers.places.find_files`; one
      that cannot be used is a `Reject` with line 0, and the others are read;
    - ``-``: standard input, as a `Source` with a format;
    - ``hf://datasets/USER/NAME[@REVISION][/SPLIT or /PATH]``: a data set on the Hugging Face Hub;
    - ``example:ExampleDb``: 1,999 human IGH reads as AIRR TSV (AGPL-3, from pyalakazam).

    Records are what the source says; `hfbio.data.clean` numbers and checks them.

    Raises:
        DataError: the source as a whole cannot be used. Shape and header are looked at now.
        MissingExtra: the package of an example is not installed.
    """
    source = source if isinstance(source, Source) else Source(str(source))
    name = source.place
    if name.startswith("hf://"):
        return read_hub(name, source.columns)
    if name.startswith("example:"):
        return read_delimited(_example(name.removeprefix("example:")), "\t", source=name)
    if is_glob(name) or Path(name).is_dir():
        return _each(find_files(name), source)
    return _read_file(Path(name), source)


def _each(files: list[Path], source: Source) -> Iterator[AntibodyRecord | Reject]:
    for path in files:
        try:
            items = _read_file(path, source)
        except DataError as fault:
            detail = str(fault).removeprefix(f"{path}: ")
            yield Reject(str(path), 0, path.name, Fault.UNUSABLE, detail)
            continue
        yield from items


def _read_file(path: Path, source: Source) -> Iterator[AntibodyRecord | Reject]:
    format = source.format or format_of(path)
    match format:
        case "fasta":
            return read_fasta(path)
        case "tsv" | "csv":
            mark = "\t" if format == "tsv" else ","
            return read_delimited(path, mark, chosen=source.columns)
        case "parquet":
            return read_parquet(path, source.columns)
        case "jsonl":
            return read_jsonl(path, source.columns)
        case "pdb":
            return read_structure(path)
    if str(path) == STDIN:
        raise DataError(f"standard input has no name; say --format {' or '.join(_NAMES)}")
    suffix = path.suffix
    raise DataError(
        f"{path}: cannot tell its format from {suffix!r}; name it one of {' '.join(FORMATS)}, "
        "or say which it is with --format"
    )


def _example(name: str) -> Path:
    if name not in _EXAMPLES:
        raise DataError(f"no example {name!r}; there is: {', '.join(_EXAMPLES)}")
    package, inside = _EXAMPLES[name]
    # The package is looked up and never imported: only its data file is wanted.
    found = find_spec(package)
    if found is None or found.origin is None:
        raise MissingExtra("demo")
    return Path(found.origin).parent / inside
