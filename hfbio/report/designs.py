"""Designs as files, with the account of how they came about. Makes no design."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hfbio.bundle import write_json
from hfbio.data.staging import staged_file
from hfbio.errors import SettingError
from hfbio.model import Designs
from hfbio.score.panel import CHAIN_ENDS, DesignReport

FORMATS = (".fasta", ".csv", ".tsv", ".parquet")
# What every AIRR rearrangement file has, known or not: AIRR Community schema 1.5, "Rearrangement
# Schema", column "required". A design has no nucleotides.
_AIRR = (
    *("sequence_id", "sequence", "rev_comp", "productive", "v_call", "d_call", "j_call"),
    *("sequence_alignment", "germline_alignment", "junction", "junction_aa"),
    *("v_cigar", "d_cigar", "j_cigar"),
)


@dataclass(frozen=True)
class Written:
    """Where designs were written, and the counts behind them."""

    path: Path
    report_path: Path
    report: DesignReport
    mean_guide_score: float | None = None  # of the kept designs

    def __str__(self) -> str:
        r = self.report
        lines = [
            f"asked {r.asked}, drawn {r.drawn}, valid {r.valid} ({r.valid / r.drawn:.1%}), "
            f"unique {r.unique}, kept {r.kept}"
        ]
        if r.novel is not None:
            lines.append(
                f"novel {r.novel} of {r.kept}; median identity to the nearest reference chain "
                f"{r.median_nearest_identity:.3f}"
            )
        if self.mean_guide_score is not None:
            lines.append(f"mean guide score of the {r.kept} kept {self.mean_guide_score:.4g}")
        lines += [f"  not valid: {n} x {fault}" for fault, n in r.faults.items()]
        return "\n".join([*lines, f"designs  {self.path}", f"account  {self.report_path}"])


def require_writable(path: Path) -> None:
    """Check the name of an output file before the work, not after it.

    Raises:
        SettingError: a suffix that is no format of designs.
    """
    if path.suffix not in FORMATS:
        raise SettingError(f"{path}: designs are written as {', '.join(FORMATS)}")


def write_designs(designs: Designs, path: Path) -> Written:
    """Write the kept designs, and the report beside them as ``NAME.report.json``.

    FASTA headers hold the id and ``key=value`` pairs; CSV and Parquet have AIRR-named columns. A
    pair is one row of a table and two entries of a FASTA file, ``NAME_heavy`` and ``NAME_light``.
    TSV is an AIRR rearrangement file: a chain a row, those of a pair with one ``cell_id``.
    """
    require_writable(path)
    rows = [design.row() for design in designs.kept]
    asked = [name for name in rows[0] if name.startswith("asked_")] if rows else []
    report_path = path.with_suffix(".report.json")
    score = designs.mean_guide_score
    header = ["locus", *asked, "valid", "nearest_identity"]
    write_rows(rows, path, header=header if score is None else [*header, "guide_score"])
    told = {} if score is None else {"mean_guide_score": score}
    write_json(report_path, {**designs.report.to_dict(), **told})
    return Written(path, report_path, designs.report, score)


def write_rows(rows: list[dict[str, Any]], path: Path, *, header: Sequence[str]) -> None:
    """Write rows with ``sequence_id`` and ``sequence_aa``, in the format that the suffix names.

    ``header`` names the columns that FASTA headers show, where a row has a value.
    """
    require_writable(path)
    with staged_file(path) as partial:
        if path.suffix == ".fasta":
            _write_fasta(rows, partial, header)
        elif path.suffix == ".csv":
            _write_csv(rows, partial)
        elif path.suffix == ".tsv":
            _write_airr(rows, partial)
        else:
            _write_parquet(rows, partial)


def _write_fasta(rows: list[dict[str, Any]], path: Path, header: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row, end in product(rows, CHAIN_ENDS):
            if (sequence := row.get(f"sequence_aa{end}")) is None:
                continue
            values = {name: row.get(f"{name}{end}", row.get(name, "")) for name in header}
            pairs = [f"{name}={value}" for name, value in values.items() if value != ""]
            file.write(f">{row['sequence_id']}{end} {' '.join(pairs)}\n{sequence}\n")


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["sequence_id"])
        writer.writeheader()
        writer.writerows(rows)


def _write_airr(rows: list[dict[str, Any]], path: Path) -> None:
    chains = [chain for row in rows for chain in _airr_rows(row)]
    more = dict.fromkeys(name for chain in chains for name in chain if name not in _AIRR)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, [*_AIRR, *more], restval="", delimiter="\t", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(chains)


def _airr_rows(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "sequence_aa" in row:
        yield row | _junction(row)
        return
    shared = {name: value for name, value in row.items() if not name.endswith(CHAIN_ENDS[1:])}
    for end in CHAIN_ENDS[1:]:
        own = {n.removesuffix(end): value for n, value in row.items() if n.endswith(end)}
        names = {"sequence_id": f"{row['sequence_id']}{end}", "cell_id": row["sequence_id"]}
        yield shared | own | names | _junction(shared | own)


def _junction(chain: dict[str, Any]) -> dict[str, str]:
    """CDR3 with the Cys before it and the Trp or Phe behind it, and whether the chain is whole."""
    before, loop, behind = (chain.get(f"{name}_aa", "") for name in ("fwr3", "cdr3", "fwr4"))
    valid = chain.get("valid", "")
    productive = "" if valid == "" else "T" if valid else "F"
    return {"junction_aa": f"{before[-1:]}{loop}{behind[:1]}", "productive": productive}


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    blank_to_null = [{k: None if v == "" else v for k, v in row.items()} for row in rows]
    pq.write_table(pa.Table.from_pylist(blank_to_null), path)
