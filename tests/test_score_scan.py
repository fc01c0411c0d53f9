"""Scans: all 20 residues at every place, as the model says when it is asked by hand."""

import csv
from dataclasses import replace

import pytest
import torch
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with
from test_cli import hfbio  # noqa: F401
from test_model_sampling import causal
from toys import numbered

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError
from hfbio.model.scores import chain_nats, scan
from hfbio.numbering import number
from hfbio.record import PairedRecord

LONG_CDR3 = heavy_with("ARDGYSSGWYPFYGDYFDY")


@pytest.fixture(scope="module")
def scanned(sapiens):
    return sapiens.scan(numbered(HEAVY, "t"))


def test_every_place_is_what_the_model_says_when_that_place_alone_is_hidden(sapiens, scanned):
    tokens = sapiens.base.token_map
    ids = torch.tensor([tokens.start_id, *tokens.encode(HEAVY).tolist(), tokens.stop_id])
    for place in (0, 30, 98, 119):
        shown = ids[None].clone()
        shown[0, 1 + place] = tokens.mask_id
        with torch.inference_mode():
            logits = sapiens.model(input_ids=shown, attention_mask=torch.ones_like(shown)).logits
        direct = logits[0, 1 + place].double().log_softmax(-1)[list(tokens.residue_ids)]
        assert scanned.log_p[place].tolist() == pytest.approx(direct.tolist(), abs=1e-4)
    assert scanned.log_p.shape == (120, 20)
    assert scanned.log_p.dtype == torch.float32


@pytest.mark.parametrize("direction", [None, "forward", "reverse", "both"])
def test_nats_are_those_of_the_score(sapiens, direction):
    model = causal({"kind": "clm", "direction": direction}) if direction else sapiens
    record = numbered(HEAVY)
    found = model.scan(record)
    (nats,) = chain_nats(model, record)
    assert found.nats.equal(nats)
    (row,) = model.score([record])
    assert found.nats.mean().item() == row["nats_per_residue"]
    assert found.likelihood == row["likelihood"]
    assert found.nats.std() > 0.05  # not one number for all


@pytest.mark.parametrize(
    ("direction", "likelihood", "given"),
    [("forward", "next-residue", slice(40)), ("reverse", "reversed next-residue", slice(41, None))],
)
def test_a_causal_model_is_given_one_side_of_a_place(direction, likelihood, given):
    # The other side may be anything: at residue 41 the answer stays, elsewhere it does not.
    model = causal({"kind": "clm", "direction": direction})
    kept = list(HEAVY)
    for at in range(len(HEAVY)):
        if at not in range(*given.indices(len(HEAVY))):
            kept[at] = {"S": "T", "T": "S"}.get(HEAVY[at], HEAVY[at])
    changed = "".join(kept)
    assert changed != HEAVY
    first, second = model.scan(numbered(HEAVY)), model.scan(numbered(changed))
    assert first.likelihood == likelihood
    assert first.log_p[40].tolist() == pytest.approx(second.log_p[40].tolist(), abs=1e-4)
    assert not torch.allclose(first.log_p, second.log_p, atol=1e-2)


def test_a_log_ratio_is_against_the_residue_that_stands_there(scanned):
    own = torch.tensor([RESIDUES.index(letter) for letter in HEAVY])
    places = torch.arange(120)
    assert (scanned.log_ratio[places, own] == 0).all()
    back = scanned.log_ratio - scanned.nats[:, None]  # log-ratio plus own log-probability
    assert torch.allclose(back, scanned.log_p, atol=1e-5)
    sums = scanned.log_p.exp().sum(-1)
    assert (sums <= 1 + 1e-5).all()
    assert (sums > 0.9).all()  # 20 of the tokens get nearly all


def test_a_change_of_the_residue_does_not_change_the_answer_of_a_masked_model(sapiens, scanned):
    mutant = sapiens.scan(numbered(HEAVY[:50] + "A" + HEAVY[51:]))
    assert mutant.log_p[50].tolist() == pytest.approx(scanned.log_p[50].tolist(), abs=1e-4)
    assert not torch.allclose(mutant.log_p[52], scanned.log_p[52], atol=1e-3)


def test_positions_are_those_of_imgt_with_their_letters(sapiens):
    found = sapiens.scan(numbered(LONG_CDR3))
    domain = number(LONG_CDR3)
    assert found.positions == tuple(f"{n}{letter}" for n, letter in domain.positions)
    cdr3 = [p for p in found.positions if 105 <= int(p.rstrip("ABCDEFGH")) <= 117]
    # 19 residues: 13 places and 3 letters on either side, those of 112 counted down (IMGT).
    assert cdr3[6:14] == ["111", "111A", "111B", "111C", "112C", "112B", "112A", "112"]
    assert found.regions == domain.regions


def test_each_chain_of_a_pair_is_scanned_beside_the_other(esm):
    heavy, kappa = numbered(HEAVY, "h", cell_id="cell"), numbered(KAPPA, "k", cell_id="cell")
    found = scan(esm, PairedRecord(heavy, kappa))
    assert [(s.sequence_id, s.locus, len(s.nats)) for s in found] == [
        ("cell", "IGH", 120),
        ("cell", "IGK", 107),
    ]
    (row,) = esm.score([PairedRecord(heavy, kappa)])
    nats = torch.cat([s.nats for s in found])
    assert nats.mean().item() == pytest.approx(row["nats_per_residue"], rel=1e-6)
    assert not torch.allclose(found[0].log_p, esm.scan(heavy).log_p, atol=1e-6)


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    """A tiny ESM-2, which reads chains and pairs."""
    from runs import antibody_esm_files

    from hfbio.model import AntibodyModel
    from hfbio.models import load_base

    folder = tmp_path_factory.mktemp("esm")
    for name, data in antibody_esm_files().items():
        (folder / name).write_bytes(data)
    base = load_base(str(folder))
    return AntibodyModel(base, base.model, None)


def test_what_cannot_be_scanned_is_refused(sapiens):
    record = numbered(HEAVY, "odd")
    odd = replace(record, sequence_aa=HEAVY[:9] + "X" + HEAVY[10:])
    with pytest.raises(SequenceError, match="record 'odd': 'X' at residue 10"):
        sapiens.scan(odd)
    longer = replace(record, sequence_aa="EV" + HEAVY, regions=tuple(c + 2 for c in record.regions))
    with pytest.raises(SequenceError, match="residues 3-122 of 122"):
        sapiens.scan(longer)
    with pytest.raises(SequenceError, match="reads at most 142"):
        sapiens.scan(replace(record, sequence_aa=HEAVY + "A" * 30))


# --- the command -------------------------------------------------------------------------------


def test_mutations_are_written_beside_the_same_scores(hfbio, tmp_path, sapiens):  # noqa: F811
    (tmp_path / "two.fasta").write_text(f">a\n{HEAVY}\n>no\n{GLOBIN}\n>b\n{LONG_CDR3}\n")
    code, out, _ = hfbio(
        *["score", "sapiens-vh", "two.fasta", "--output", "s.csv", "--mutations", "m.csv"]
    )
    assert code == 0
    assert "mutations  m.csv" in out
    assert hfbio("score", "sapiens-vh", "two.fasta", "--output", "plain.csv")[0] == 0
    assert (tmp_path / "s.csv").read_text() == (tmp_path / "plain.csv").read_text()
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert len(rows) == 20 * (len(HEAVY) + len(LONG_CDR3))
    found = sapiens.scan(numbered(HEAVY))
    at = 98
    some = [row for row in rows if row["sequence_id"] == "a" and row["index"] == str(at + 1)]
    assert [row["mutant"] for row in some] == list(RESIDUES)
    assert {row["residue"] for row in some} == {HEAVY[at]}
    assert {row["position"] for row in some} == {found.positions[at]}
    assert [float(row["log_ratio"]) for row in some] == pytest.approx(found.log_ratio[at].tolist())
    assert [float(row["log_p"]) for row in some] == pytest.approx(found.log_p[at].tolist())


@pytest.mark.parametrize(
    ("name", "message"),
    [("m.tsv", "mutations are written as .csv"), ("s.csv", "is where the scores go")],
)
def test_a_name_that_will_not_do_is_told_before_the_work(hfbio, tmp_path, name, message):  # noqa: F811
    code, _, err = hfbio(
        *["score", "sapiens-vh", "two.fasta", "--output", "s.csv", "--mutations", name]
    )
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []
