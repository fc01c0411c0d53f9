"""The promise of the quickstart, whole: what RESULTS.md states is what the recipe gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hfbio
from hfbio.data import load_table, nearest_identity
from hfbio.numbering import is_domain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    subprocess.run(
        [Path(sys.executable).with_name("hfbio"), "finetune", "quickstart", "--output_dir", folder],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def rows(run):
    held_out = json.loads((run / "metrics.json").read_text())["held_out"]
    return {(row["masked"], row["region"], row["status"]): row for row in held_out}


@pytest.mark.parametrize("masked", [0.15, 0.5, 0.9])
def test_the_tuned_model_beats_its_base_with_an_interval_that_excludes_zero(rows, masked):
    assert rows[masked, "all", "all"]["difference"]["high"] < 0


@pytest.mark.parametrize(
    ("masked", "baseline"), [(0.15, "position_family"), (0.5, "position_family"), (0.9, "position")]
)
def test_the_tuned_model_beats_counting(rows, masked, baseline):
    row = rows[masked, "all", "all"]
    assert row["tuned"]["nats_per_residue"] < row[baseline]["nats_per_residue"]


def test_the_gain_at_half_and_nearly_all_masked_is_more_than_confidence(rows):
    for masked in (0.5, 0.9):
        row = rows[masked, "all", "all"]
        assert row["tuned"]["nats_per_residue"] < row["base_calibrated"]["nats_per_residue"]


def test_designs_are_antibodies_neither_noise_nor_copies(run):
    train = load_table(run / "data" / "train.parquet")
    test = load_table(run / "data" / "test.parquet")
    request = hfbio.Request(num=256, conditions={"isotype": "IGHG"}, keep="all")
    designs = hfbio.load(run).sample(request, reference=train)
    sequences = [design.sequence_aa for design in designs.kept]
    both = [d.valid and judged for d, judged in zip(designs.kept, is_domain(sequences))]
    assert np.mean(both) >= 0.95
    assert len(set(sequences)) >= 0.95 * 256
    natural = nearest_identity([r.sequence_aa for r in test], [r.sequence_aa for r in train])
    low, high = np.quantile(natural.identity, [0.05, 0.75])
    assert low < designs.report.median_nearest_identity < high
