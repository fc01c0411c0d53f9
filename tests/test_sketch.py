"""The sketch of training chains: what it tells of a design, and what it must not tell."""

import hashlib
import random

import numpy as np
import pytest
import torch
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with, random_cdr3s
from safetensors import safe_open
from safetensors.torch import save_file
from toys import numbered

from hfbio.alphabet import RESIDUES
from hfbio.data import nearest_identity
from hfbio.data.pairs import pair
from hfbio.errors import BundleError, DataError
from hfbio.numbering import Numbered, check
from hfbio.score.sketch import MAX_BYTES, MAX_CHAINS, Sketch, _mix
from sketch_attack import attack

CHAINS = [heavy_with(cdr3) for cdr3 in random_cdr3s(40)]
RECORDS = [numbered(chain, f"c{i}") for i, chain in enumerate(CHAINS)]


@pytest.fixture(scope="module")
def sketch():
    return Sketch.of(RECORDS)


def mutated(sequence, n, seed):
    rng = random.Random(seed)
    letters = list(sequence)
    inside = [i for i, letter in enumerate(letters) if letter not in "CW"]  # they make a domain
    for at in rng.sample(inside, n):
        letters[at] = rng.choice([letter for letter in RESIDUES if letter != letters[at]])
    return "".join(letters)


# --- what it tells -----------------------------------------------------------------------------


def test_copies_are_found_and_nothing_else_is(sketch):
    others = [heavy_with(cdr3) for cdr3 in random_cdr3s(20, seed=9)]
    near = [mutated(chain, 1, i) for i, chain in enumerate(CHAINS)]
    assert sketch.copies(CHAINS).all()
    assert not sketch.copies([*others, *near]).any()


def test_a_copy_is_found_among_what_stands_around_its_domain(sketch):
    assert sketch.copies([f"MKHLWFFLLL{CHAINS[3].lower()}ASTKGPSV"]).all()


def test_identity_of_a_copy_is_one(sketch):
    assert sketch.nearest(CHAINS).tolist() == [1.0] * len(CHAINS)


def test_estimates_follow_the_true_identity():
    # One chain, so that no other flatters the estimate. The standard deviation of one estimate is
    # 0.03 at 0.9 and 0.05 at 0.7; always guessing the mean errs by 0.08.
    alone = Sketch.of([numbered(HEAVY)])
    queries = [mutated(HEAVY, n, 7 * n) for n in range(0, 40)]
    truth = nearest_identity(queries, [HEAVY]).identity
    known = ~np.isnan(truth)  # a mutated cysteine makes no domain
    assert known.sum() > 30
    found = alone.nearest(queries)
    assert (np.isnan(found) == ~known).all()
    difference = (found - truth)[known]
    assert abs(difference).mean() < 0.04
    assert abs(difference.mean()) < 0.02
    assert np.corrcoef(found[known], truth[known])[0, 1] > 0.85


def test_a_longer_loop_costs_its_own_residues_and_no_others():
    # All behind the loop would differ if places were counted through.
    alone = Sketch.of([numbered(heavy_with("ARGYSSGYSDY"))])
    assert alone.nearest([heavy_with("ARGYSSWGYSDY")])[0] > 0.9


def test_only_chains_of_the_same_locus_are_compared(sketch):
    assert np.isnan(sketch.nearest([KAPPA, GLOBIN])).all()
    assert not sketch.copies([KAPPA, GLOBIN]).any()
    assert sketch.copies([GLOBIN]).tolist() == [False]
    assert len(sketch.copies([])) == len(sketch.nearest([])) == 0
    both = Sketch.of([*RECORDS, numbered(KAPPA)])
    assert both.nearest([KAPPA]).tolist() == [1.0]


def test_of_a_pair_each_chain_is_sketched():
    chains = [numbered(HEAVY, "h", cell_id="a"), numbered(KAPPA, "k", cell_id="a")]
    pairs, _ = pair(chains)
    assert Sketch.of(pairs).copies([HEAVY, KAPPA]).all()


def test_of_too_many_chains_some_are_sketched_and_all_counted(sketch):
    few = Sketch.of([*RECORDS, *RECORDS], most=10)
    assert (few.n_chains, few.out_of) == (10, 40)
    assert few.copies(CHAINS).sum() == 10
    assert (sketch.n_chains, sketch.out_of) == (40, 40)


def test_nothing_and_too_much_are_refused():
    with pytest.raises(DataError, match="no chain to sketch"):
        Sketch.of([])
    with pytest.raises(ValueError, match=r"most must be in \[1, 20000\], got 20001"):
        Sketch.of(RECORDS, most=MAX_CHAINS + 1)


# --- stable ------------------------------------------------------------------------------------


def test_hashes_are_the_same_everywhere_and_for_good(tmp_path):
    # A bundle of today is read by every later hfbio: these bytes must never change.
    # SplitMix64 from seed 0 begins so (the reference program of S. Vigna, splitmix64.c).
    steps = np.array([0x9E3779B97F4A7C15, 0x3C6EF372FE94F82A], np.uint64)
    assert [hex(number) for number in _mix(steps)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]
    made = Sketch.of([numbered(HEAVY)])
    assert made.digests.tobytes() == hashlib.sha256(HEAVY.encode()).digest()[:4]
    assert made.signatures.tobytes().hex() == "dca36943508fad7b7804c30d8abe902e"


def test_the_order_of_the_table_is_not_told(sketch, tmp_path):
    sketch.save(tmp_path / "one")
    Sketch.of(RECORDS[::-1]).save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_sketch_comes_back_from_its_file(sketch, tmp_path):
    sketch.save(tmp_path / "s")
    again = Sketch.read(tmp_path / "s")
    queries = [*CHAINS, *(heavy_with(cdr3) for cdr3 in random_cdr3s(9, seed=4))]
    assert again.out_of == sketch.out_of
    assert (again.nearest(queries) == sketch.nearest(queries)).all()
    assert (again.copies(queries) == sketch.copies(queries)).all()


# --- what it does not tell ---------------------------------------------------------------------


def test_a_file_holds_160_bits_a_chain_and_no_residues(sketch, tmp_path):
    sketch.save(tmp_path / "s")
    content = (tmp_path / "s").read_bytes()
    with safe_open(tmp_path / "s", "np") as file:
        rows = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    assert {name: rows[name].shape for name in rows} == {
        "signature": (40, 16), "digest": (40, 4), "locus": (40, 1)
    }  # fmt: skip
    five = {chain[i : i + 5].encode() for chain in CHAINS for i in range(len(chain) - 4)}
    assert not any(piece in content for piece in five)


def test_a_piece_of_a_chain_cannot_be_asked_for():
    # Whoever walks along a chain, residue by residue, gets an answer at its end alone: chains that
    # share all but the loop with the sketched one are as near as each other, right loop or wrong.
    alone = Sketch.of([numbered(heavy_with("ARGYSSGYSDY"))])
    assert not alone.copies([heavy_with("ARGYSSGYSDY")[:-i] for i in range(1, 60)]).any()
    begun = [f"ARGYS{a}{b}{c}SDY" for a in "SAW" for b in "GAY" for c in "YTC"]
    nearest = alone.nearest([heavy_with(cdr3) for cdr3 in begun])
    assert not alone.copies([heavy_with(cdr3) for cdr3 in begun[1:]]).any()
    assert (nearest == 1).sum() > 1  # one of several, and no way to tell but the whole chain


def test_a_row_leads_an_attack_nowhere_where_a_large_row_leads_to_the_chain():
    # What was measured on ExampleDb is in recipes/RESULTS.md.
    rng = random.Random(3)
    varied = [mutated(heavy_with(cdr3), 40, rng.random()) for cdr3 in random_cdr3s(60)]
    domains = [chain for chain in varied if isinstance(check(chain), Numbered)]
    train = [numbered(chain, f"c{i}") for i, chain in enumerate(domains[:30])]
    for before, after in attack(train, 128, 3, seed=0).values():
        assert after < before + 0.05
    before, after = attack(train, 1024, 3, seed=0)["letters"]
    assert after > before + 0.1


# --- what strangers write ----------------------------------------------------------------------


def rows(n=3, **changes):
    made = {
        "signature": torch.zeros(n, 16, dtype=torch.uint8),
        "digest": torch.zeros(n, 4, dtype=torch.uint8),
        "locus": torch.zeros(n, 1, dtype=torch.uint8),
    }
    return {name: tensor for name, tensor in {**made, **changes}.items() if tensor is not None}


GOOD = '{"format": "1", "out_of": 3}'


@pytest.mark.parametrize(
    ("tensors", "note", "named"),
    [
        (rows(0), GOOD, "its tensors are not those"),
        (rows(MAX_CHAINS + 1), '{"format": "1", "out_of": 99999}', "its tensors are not those"),
        (rows(digest=None), GOOD, "its tensors are not those"),
        (rows(more=torch.zeros(1, dtype=torch.uint8)), GOOD, "its tensors are not those"),
        (rows(locus=torch.zeros((), dtype=torch.uint8)), GOOD, "its tensors are not those"),
        (rows(digest=torch.zeros(2, 4, dtype=torch.uint8)), GOOD, "its tensors are not those"),
        (rows(signature=torch.zeros(3, 16)), GOOD, "is of type F32"),
        (rows(locus=torch.full((3, 1), 3, dtype=torch.uint8)), GOOD, "locus number 3"),
        (rows(), "", "is not JSON"),
        (rows(), "[" * 100_000, "is not JSON"),
        (rows(), "[]", "must be an object"),
        (rows(), '{"format": "2", "out_of": 3}', "no sketch that this hfbio reads"),
        (rows(), '{"format": "1", "out_of": 2}', "no sketch that this hfbio reads"),
        (rows(), '{"format": "1", "out_of": true}', "no sketch that this hfbio reads"),
        (rows(), '{"format": "1", "out_of": NaN}', "must be finite"),
        (rows(), '{"format": "1", "out_of": 3, "x": "\\u202e"}', "invisible"),
    ],
    ids=range(16),
)
def test_a_file_that_is_no_sketch_is_refused(tmp_path, tensors, note, named):
    save_file(tensors, tmp_path / "s", metadata={"sketch": note})
    with pytest.raises(BundleError, match=named) as caught:
        Sketch.read(tmp_path / "s")
    assert str(caught.value).isprintable()


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match="holds no file"):
        Sketch.read(tmp_path / "s")
    with (tmp_path / "s").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BundleError, match="larger than"):
        Sketch.read(tmp_path / "s")
    (tmp_path / "s").write_bytes(b"\xff" * 100)
    with pytest.raises(BundleError, match="no safetensors file"):
        Sketch.read(tmp_path / "s")
