"""Linear probes: what can be read from vectors, on clones that the probe never saw."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from antibodies import heavy_with, random_cdr3s
from toys import numbered, seeded

from hfbio.alphabet import RESIDUES
from hfbio.data.groups import clone_groups
from hfbio.errors import DataError
from hfbio.model.probe import probe_model
from hfbio.report.probe import write_probe
from hfbio.score.embed import residues_of
from hfbio.score.folds import MIN_CLONES, N_FOLDS, plan_tasks
from hfbio.score.probe import composition, probe

ISOTYPES = ("IGHM", "IGHM", "IGHM", "IGHG", "IGHA")


def chains(n_clones=150, *, isotype=lambda i: ISOTYPES[i % 5]):
    """Clones of one to three chains, all of a clone with the label of its number."""
    cdr3s = random_cdr3s(n_clones, length=16)
    return [
        numbered(heavy_with(cdr3), f"c{i}.{j}", clone_id=f"c{i}", isotype=isotype(i))
        for i, cdr3 in enumerate(cdr3s)
        for j in range(1 + i % 3)
    ]


RECORDS = chains()
CLONES = clone_groups(RECORDS)


def task_of(records, label="isotype", **kwargs):
    (task,) = plan_tasks(records, [label], **{"repeats": 1, **kwargs})
    return task


def noise(n, width=12, seed=0):
    return torch.randn(n, width, generator=seeded(seed))


def planted(records, strength):
    """Noise, with the isotype along one direction and a clone's own mark along the others."""
    vectors = noise(len(records))
    marks = noise(max(CLONES) + 1, seed=1)
    names = sorted({record.isotype for record in records})
    for i, record in enumerate(records):
        vectors[i] += marks[CLONES[i]]
        vectors[i, 0] += strength * names.index(record.isotype)
        vectors[i, 1] -= strength * (names.index(record.isotype) == 1)
    return 100 + 7 * vectors  # neither centred nor of variance one


# --- folds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_no_clone_is_in_two_folds_and_each_class_is_in_all(seed):
    task = task_of(RECORDS, seed=seed)
    folds_of_clone = {}
    (dealt,) = task.folds
    for row, fold in zip(task.rows, dealt):
        folds_of_clone.setdefault(CLONES[row], set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of_clone.values())
    sizes = Counter((t, f) for t, f in zip(task.targets.tolist(), dealt.tolist()))
    assert len(sizes) == len(task.classes) * N_FOLDS
    clones_in_fold = Counter(folds.pop() for folds in folds_of_clone.values())
    assert max(clones_in_fold.values()) - min(clones_in_fold.values()) <= 1


def test_folds_depend_on_the_seed_and_on_nothing_else():
    one, two, other = (task_of(RECORDS, seed=seed, repeats=2).folds for seed in (4, 4, 5))
    assert np.array_equal(one, two)
    dealt = {row.tobytes() for folds in (one, other) for row in folds}
    assert len(dealt) == 4


def test_rare_classes_and_unknown_labels_are_left_out_and_named():
    def isotype(i):
        few = {0: "IGHE", 3: "IGHE", 6: "IGHE", 9: "IGHE", 1: "", 2: ""}
        return few.get(i, ISOTYPES[i % 5])

    records = chains(60, isotype=isotype)
    task = task_of(records)
    assert task.classes == ("IGHA", "IGHG", "IGHM")
    assert task.left_out == {"IGHE": MIN_CLONES - 1}
    assert task.n_unlabelled == sum(not record.isotype for record in records) > 0
    kept = [records[row].isotype for row in task.rows]
    assert kept == [task.classes[target] for target in task.targets]
    assert len(kept) == sum(record.isotype not in ("", "IGHE") for record in records)


def test_a_clone_of_two_classes_counts_in_both_and_stays_in_one_fold():
    switched = [replace(r, isotype="IGHG") if r.sequence_id.endswith(".1") else r for r in RECORDS]
    task = task_of(switched)
    per_class = {
        name: len({CLONES[row] for row, t in zip(task.rows, task.targets) if t == c})
        for c, name in enumerate(task.classes)
    }
    assert task.n_clones == per_class
    assert sum(per_class.values()) > len(set(CLONES))
    pairs = {(clone, fold) for clone, fold in zip(task.clones.tolist(), task.folds[0].tolist())}
    assert len(pairs) == len(set(CLONES))
    assert task.weights.sum() == pytest.approx(sum(per_class.values()))


def test_labels_with_one_class_are_refused_by_themselves_and_a_probe_of_nothing_is_a_fault():
    by_label = {task.label: task for task in plan_tasks(RECORDS)}
    assert "IGH 150" in by_label["locus"].refusal
    assert "no chain has one" in by_label["v_family"].refusal
    assert by_label["isotype"].refusal == ""
    with pytest.raises(DataError, match=r"nothing to probe: locus: fewer than two .*IGH 150"):
        plan_tasks(RECORDS, ["locus"])


# --- the probe ---------------------------------------------------------------------------------


def test_a_planted_label_is_read():
    # Along its direction the classes lie 6 standard deviations apart.
    task = task_of(RECORDS)
    result = probe(task, {"model": planted(RECORDS, 9.0)})
    reading = result.readings["model"]
    assert reading.balanced_accuracy.value > 0.97  # guessing scores 1/3
    assert set(reading.recall) == {"IGHA", "IGHG", "IGHM"}
    assert min(reading.recall.values()) > 0.95
    assert result.chance == pytest.approx(1 / 3)
    assert result.majority == pytest.approx(90 / 150)


@pytest.mark.parametrize("seed", range(2))
def test_shuffled_labels_are_read_no_better_than_by_chance(seed):
    # Every chain of a clone has the same mark, which tells its label: a probe that has seen the
    # clone reads it, and one that has not can only guess.
    names = [ISOTYPES[i] for i in torch.randint(5, (max(CLONES) + 1,), generator=seeded(seed))]
    shuffled = [replace(r, isotype=names[CLONES[i]]) for i, r in enumerate(RECORDS)]
    marks = noise(max(CLONES) + 1, 60, seed=1)[CLONES]
    task = task_of(shuffled, repeats=5)
    guess = probe(task, {"model": marks}).readings["model"].balanced_accuracy
    assert guess.low < 1 / 3 < guess.high
    leaky = replace(task, folds=np.arange(len(task.rows))[None] % N_FOLDS)  # clones straddle
    seen = probe(leaky, {"model": marks}).readings["model"].balanced_accuracy
    assert seen.low > 1 / 3


def test_base_and_tuned_are_compared_on_the_same_folds_and_resamples():
    task = task_of(RECORDS)
    weak, strong = planted(RECORDS, 2.0), planted(RECORDS, 9.0)
    both = probe(task, {"base": weak, "tuned": strong}, compare=("base", "tuned"))
    for name, vectors in (("base", weak), ("tuned", strong)):
        assert probe(task, {name: vectors}).readings[name] == both.readings[name]
    gap = both.difference
    values = {name: r.balanced_accuracy.value for name, r in both.readings.items()}
    assert gap.value == pytest.approx(values["tuned"] - values["base"])
    assert 0 < gap.low < gap.value < gap.high
    same = probe(task, {"base": weak, "tuned": weak.clone()}, compare=("base", "tuned"))
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)


def test_repeats_average_what_single_deals_give():
    vectors = {"m": planted(RECORDS, 3.0)}
    three = task_of(RECORDS, repeats=3)
    recalls = [
        probe(replace(three, folds=folds[None]), vectors).readings["m"].recall["IGHG"]
        for folds in three.folds
    ]
    assert len(set(recalls)) > 1
    together = probe(three, vectors).readings["m"].recall["IGHG"]
    assert together == pytest.approx(sum(recalls) / 3)


def test_a_large_clone_counts_once():
    # One IgG clone of many chains lies where the IgMs lie: told wrong, it is one clone among 31.
    records = [*RECORDS, *(replace(RECORDS[0], sequence_id=f"x{i}") for i in range(80))]
    records = [
        replace(r, isotype="IGHG", clone_id="big") if r.clone_id == "c0" else r for r in records
    ]
    names = {"IGHM": 0, "IGHG": 1, "IGHA": 2}
    places = [names["IGHM" if r.clone_id == "big" else r.isotype] for r in records]
    vectors = 9 * torch.eye(3)[places] + 0.1 * noise(len(records), 3)
    reading = probe(task_of(records), {"model": vectors}).readings["model"]
    assert reading.recall["IGHG"] == pytest.approx(30 / 31)


def test_a_feature_that_never_changes_and_the_scale_of_the_others_do_no_harm():
    task = task_of(RECORDS)
    vectors = planted(RECORDS, 9.0)
    odd = torch.cat([1e4 * vectors, torch.full((len(RECORDS), 1), 3.0)], dim=1)
    one, two = (probe(task, {"m": v}).readings["m"] for v in (vectors, odd))
    assert one.recall == pytest.approx(two.recall, abs=0.02)


def test_the_composition_is_the_shares_of_residues_in_a_region():
    rows = composition(RECORDS, "cdr3")
    residues = residues_of(RECORDS[0], "cdr3")
    assert rows.shape == (len(RECORDS), 20)
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(len(RECORDS)))
    at = RESIDUES.index("Y")
    assert rows[0, at].item() == pytest.approx(residues.count("Y") / len(residues))


# --- beside the base ---------------------------------------------------------------------------


def test_a_base_is_probed_beside_the_composition_and_every_number_is_written(sapiens, tmp_path):
    # IgA chains carry two cysteines more in CDR3: composition and model can both tell.
    cdr3s = random_cdr3s(24, length=14)
    records = [
        numbered(heavy_with(c[:6] + "CC" + c[8:] if i % 2 else c), f"c{i}", isotype=iso)
        for i, c in enumerate(cdr3s)
        for iso in [("IGHM", "IGHA")[i % 2]]
    ]
    tasks = plan_tasks(records, ["isotype", "locus"], repeats=1)
    vectors = sapiens.embed(records, region="cdr3")
    report = probe_model(sapiens, records, tasks, vectors, region="cdr3")
    (probed,) = report.probed
    assert list(probed.readings) == ["composition", "base"]
    assert probed.difference is None
    assert probed.readings["base"].balanced_accuracy.value > 0.8  # guessing scores 0.5
    written = write_probe(report, tmp_path / "probe.json")
    content = json.loads((tmp_path / "probe.json").read_text())
    value = content["probed"][0]["readings"]["base"]["balanced_accuracy"]["value"]
    assert f"{value:.3f}" in str(written)
    assert "locus: not probed, fewer than two classes with 5 clones (IGH 24)" in str(written)
    assert "isotype: 24 chains; clones: IGHA 12, IGHM 12" in str(written)
    with pytest.raises(ValueError, match="24 chains, but 23 vectors"):
        probe_model(sapiens, records, tasks, vectors[1:])
