"""Pairs: which chains make one, how a model reads them, what each objective does with them."""

import dataclasses
import random
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from torch import nn
from toys import TOKENS, numbered, seeded

from hfbio.alphabet import RESIDUES
from hfbio.data import import_table, load_table, split_table
from hfbio.data.encode import IGNORE, describe, encode, record_tag
from hfbio.data.groups import clone_groups
from hfbio.data.pairs import pair
from hfbio.errors import SettingError
from hfbio.models.catalogue import FAMILIES
from hfbio.models.load import load_base
from hfbio.models.scratch import fresh
from hfbio.objectives import CausalLM, Diffusion, GermlineDiffusion, Infill, MaskedLM
from hfbio.record import REGIONS, PairedRecord
from hfbio.rng import generator
from hfbio.score.baseline import BaselinePredictor, PositionFrequency
from hfbio.score.causal import next_predictor, span_residues
from hfbio.score.heldout import measure
from hfbio.tokens import Tags

H, K = len(HEAVY), len(KAPPA)
SEPARATOR = (0, 0)  # as of ESM-2: twice the start token
PAIRED = dataclasses.replace(TOKENS, between_chains=SEPARATOR)
CAUSAL = dataclasses.replace(TOKENS, sep_id=25, between_chains=(3,))
GERMLINES = "Q" + HEAVY[1:90] + "-" * (H - 90), "E" + KAPPA[1:80] + "-" * (K - 80)


def paired(heavy=HEAVY, light=KAPPA, cell="c", germlines=("", ""), **fields):
    return PairedRecord(
        numbered(heavy, "h", cell_id=cell, germline_alignment_aa=germlines[0], **fields),
        numbered(light, "k", cell_id=cell, germline_alignment_aa=germlines[1]),
    )


EXAMPLE = encode(paired(germlines=GERMLINES), PAIRED, (0, 25))


# --- which chains make a pair ------------------------------------------------------------------


def test_chains_of_one_cell_and_subject_make_a_pair_heavy_first():
    heavy = [numbered(heavy_with(c), f"h{i}") for i, c in enumerate(random_cdr3s(2))]
    light = [numbered(KAPPA, "k0"), numbered("E" + KAPPA[1:], "k1")]
    rows = [
        dataclasses.replace(record, cell_id="x", subject=subject)
        for subject, record in [("a", light[0]), ("b", heavy[1]), ("a", heavy[0]), ("b", light[1])]
    ]
    pairs, left = pair(rows)
    assert [(p.heavy.sequence_id, p.light.sequence_id) for p in pairs] == [
        ("h0", "k0"),
        ("h1", "k1"),
    ]
    assert not left
    assert [chain.locus for chain in pairs[0].chains] == ["IGH", "IGK"]


def test_every_chain_that_is_in_no_pair_has_its_reason():
    one, two, three = (heavy_with(c) for c in random_cdr3s(3))
    rows = [
        *(numbered(s, cell_id="doublet") for s in (one, two, KAPPA)),
        *(numbered(s, cell_id="two light") for s in (one, KAPPA, "E" + KAPPA[1:])),
        numbered(one, cell_id="alone"),
        numbered(KAPPA, cell_id="light alone"),
        numbered(one),
        *(numbered(s, cell_id="good") for s in (three, KAPPA)),
        *(numbered(s, cell_id="same again") for s in (three, KAPPA)),
    ]
    pairs, left = pair(rows)
    assert [p.sequence_id for p in pairs] == ["good"]
    assert Counter(why for _, why in left) == {
        "several heavy or light chains in its cell": 6,
        "no partner in its cell": 2,
        "no cell_id to find its partner by": 1,
        "same pair as that of another cell": 2,
    }
    assert len(left) + 2 * len(pairs) == len(rows)


@pytest.mark.parametrize("by", ["clone", "random"])
def test_a_split_never_parts_the_chains_of_a_cell(by, tmp_path):
    rows = [
        f"{kind}{i},{sequence},cell{i}\n"
        for i, cdr3 in enumerate(random_cdr3s(40))
        for kind, sequence in (("h", heavy_with(cdr3)), ("k", KAPPA))
    ]
    random.Random(0).shuffle(rows)
    (tmp_path / "airr.csv").write_text("sequence_id,sequence_aa,cell_id\n" + "".join(rows))
    import_table([tmp_path / "airr.csv"], tmp_path / "t.parquet", progress=False)
    split_table(tmp_path / "t.parquet", tmp_path / "split", by=by)
    parts = [
        load_table(tmp_path / "split" / f"{part}.parquet")
        for part in ("train", "validation", "test")
    ]
    assert all(parts)
    assert sum(len(pair(part)[0]) for part in parts) == 40
    assert not any(pair(part)[1] for part in parts)


def test_a_pair_belongs_to_the_clone_of_its_heavy_chain():
    one, two = (heavy_with(c) for c in random_cdr3s(2))
    pairs = [paired(one, cell="a"), paired(one, "E" + KAPPA[1:], cell="b"), paired(two, cell="c")]
    assert clone_groups(pairs).tolist() == [0, 0, 1]


# --- how a model reads them --------------------------------------------------------------------


def test_a_pair_is_prefix_heavy_separator_light_stop_token_by_token():
    heavy, light = (TOKENS.encode(s).tolist() for s in (HEAVY, KAPPA))
    assert EXAMPLE.input_ids.tolist() == [0, 25, *heavy, *SEPARATOR, *light, TOKENS.stop_id]
    assert TOKENS.decode(EXAMPLE.input_ids[EXAMPLE.residues]) == HEAVY + KAPPA


def test_regions_and_germlines_stand_at_the_residues_of_both_chains():
    record = paired(germlines=GERMLINES)
    starts = (2, 2 + H + 2)
    special = torch.ones_like(EXAMPLE.input_ids, dtype=torch.bool)
    for start, chain in zip(starts, record.chains):
        at = slice(start, start + len(chain.sequence_aa))
        special[at] = False
        for i, name in enumerate(REGIONS):
            ids = EXAMPLE.input_ids[at][EXAMPLE.region_ids[at] == i]
            assert TOKENS.decode(ids) == chain.region(name)
        expected = [TOKENS.residue_id(letter) for letter in chain.germline_alignment_aa]
        assert EXAMPLE.germline_ids[at].tolist() == expected
    assert special.sum() == 2 + 2 + 1
    assert (EXAMPLE.region_ids[special] == -1).all()
    assert (EXAMPLE.germline_ids[special] == -1).all()


def test_a_model_of_single_chains_refuses_a_pair():
    with pytest.raises(SettingError, match="one chain at a time"):
        encode(paired(), TOKENS, (0,))


def test_the_light_chain_names_the_locus_of_a_pair_and_the_heavy_chain_all_else():
    record = paired(isotype="IGHG", species="human", v_call="IGHV3-11*05")
    found = {name: record_tag(record, name) for name in ("locus", "isotype", "v_family", "species")}
    assert found == {"locus": "IGK", "isotype": "IGHG", "v_family": "IGHV3", "species": "human"}
    tags = Tags.from_rows("composite", {"locus": ["IGK", "IGL"]})
    assert describe(record, tags) == {"locus": "IGK"}


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("architecture", "separator"), [("esm", ["<cls>", "<cls>"]), ("llama", ["."])]
)
def test_the_separator_of_a_family_is_read_by_its_tokenizer(architecture, separator):
    base = fresh(architecture, SMALL, name="tiny", rng=generator(0))
    ids = base.require_separator()
    assert base.tokenizer.convert_ids_to_tokens(list(ids)) == separator
    assert base.token_map.between_chains == ids
    assert not set(ids) & {*base.token_map.residue_ids, base.token_map.sep_id}


def test_a_pair_is_as_long_as_both_chains_and_what_stands_between():
    sizes = SMALL | {"max_position_embeddings": H + K + 2 + 2 + 2}  # fairseq's 2, separator, ends
    base = fresh("esm", sizes, name="tiny", rng=generator(0))
    assert base.max_residues_of("paired") == H + K
    assert base.unreadable(paired()) == ""
    longer = paired(heavy_with("A" * 14))
    assert base.unreadable(longer) == f"longer than the {H + K} residues of tiny"


def test_a_family_without_published_pairs_says_so():
    base = load_base("sapiens-vh")
    with pytest.raises(SettingError, match="'roberta', which reads one chain at a time"):
        base.require_separator()
    assert FAMILIES["gpt_neox"].separator == ()  # and is not the same as none published


def test_a_tokenizer_that_lacks_the_separator_says_so():
    base = fresh("llama", SMALL, name="tiny", rng=generator(0))
    lacking = dataclasses.replace(base.token_map, between_chains=None)
    with pytest.raises(SettingError, match=r"tokenizer of tiny lacks '\.'"):
        dataclasses.replace(base, token_map=lacking).require_separator()


# --- what each objective does with them --------------------------------------------------------


@pytest.mark.parametrize(
    "objective", [MaskedLM(fraction=0.5), Diffusion(min_t=0.5), GermlineDiffusion(min_t=0.5)]
)
def test_masked_objectives_hide_residues_of_both_chains_and_no_separator(objective):
    special = EXAMPLE.region_ids < 0
    n_hidden = torch.zeros_like(EXAMPLE.input_ids)
    for seed in range(60):
        made = objective.corrupt(EXAMPLE, PAIRED, seeded(seed))
        assert (made.labels[special] == IGNORE).all()
        assert made.input_ids[special].equal(EXAMPLE.input_ids[special])
        n_hidden += made.labels != IGNORE
    assert (n_hidden[EXAMPLE.residues] > 0).all()  # missed 60 times: at most 0.5 ** 60 each
    assert made.denominator > K  # no chain alone


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_clm_predicts_both_chains_the_separator_and_the_end(direction):
    made = CausalLM(direction=direction).corrupt(
        encode(paired(), CAUSAL, (0, 25)), CAUSAL, seeded()
    )
    heavy, light = (TOKENS.encode(s) for s in (HEAVY, KAPPA))
    body = torch.cat([heavy, torch.tensor([3]), light])
    if direction == "reverse":
        body, end, front = body.flip(0), [0], [2, 25]
    else:
        end, front = [2], [0, 25]
    assert made.input_ids.tolist() == [*front, *body.tolist(), *end]
    assert made.labels[1:-1].tolist() == [*body.tolist(), *end]
    assert made.denominator == H + 1 + K + 1


def test_infill_moves_whole_spans_of_one_chain_and_scores_each_residue_once():
    example = encode(paired(), CAUSAL, (0,))
    objective = Infill(whole=0.0, max_spans=4, longest=200)
    in_light = 0
    for seed in range(80):
        made = objective.corrupt(example, CAUSAL, seeded(seed))
        ids = made.input_ids
        assert (ids == 3).sum() == 1  # the separator of the pair: neither cut out nor doubled
        first = int((ids == CAUSAL.sep_id).nonzero()[0])  # from here on: what fills the gaps
        assert 3 in ids[:first]
        labels = made.labels[made.labels != IGNORE]
        letters = labels[torch.isin(labels, torch.tensor(TOKENS.residue_ids))]
        assert Counter(TOKENS.decode(letters)) == Counter(HEAVY + KAPPA)
        in_light += int(TOKENS.mask_id in ids[(ids == 3).nonzero()[0, 0] : first])
    assert 20 < in_light < 80  # gaps in the light chain, and in the heavy chain alone


# --- held-out nats -----------------------------------------------------------------------------


class Previous(nn.Module):
    """Logits that depend on the token before alone, as a causal model's may."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(26, 26, generator=seeded(1)))

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])

    def nats(self, before, after):
        return -self.table.log_softmax(dim=1)[before, after]


@pytest.mark.parametrize("reverse", [False, True])
def test_next_token_nats_belong_to_their_residues_and_pass_over_the_separator(reverse):
    example, model = encode(paired(), CAUSAL, (0, 25)), Previous()
    n = len(example.residues)
    ((nats, _),) = next_predictor(model, CAUSAL, [example], reverse=reverse)([0], [torch.arange(n)])
    ids = example.input_ids
    for number in (0, 1, H - 1, H, H + 1, n - 2, n - 1):
        at = int(example.residues[number])
        if reverse and at == len(ids) - 2:
            before = ids[1]  # the last residue comes first, behind the tag
        else:
            before = ids[at + 1] if reverse else ids[at - 1]
        assert nats[number].item() == pytest.approx(model.nats(before, ids[at]).item(), abs=1e-5)


def test_every_region_of_both_chains_is_asked_for_in_order():
    example, model = encode(paired(), CAUSAL, (0, 25)), Previous()
    nats, _ = span_residues(model, CAUSAL, example)
    assert len(nats) == H + K
    cdr1 = paired().light.regions[1]
    first_of_gap = model.nats(torch.tensor(25), TOKENS.residue_id(KAPPA[cdr1]))
    assert nats[H + cdr1].item() == pytest.approx(first_of_gap.item(), abs=1e-5)


def test_counting_keeps_the_positions_of_heavy_and_light_chain_apart():
    # Both chains occupy IMGT position 1: E in all heavy chains, D in all light ones.
    train = [paired(heavy_with(c), cell=c) for c in random_cdr3s(3)]
    baseline = PositionFrequency(train, by_family=False)
    p = baseline.probabilities(train[0])
    assert p.shape == (len(train[0].heavy.sequence_aa) + K, 20)
    first = len(train[0].heavy.sequence_aa)
    assert p[0, RESIDUES.index("E")].item() == pytest.approx((3 + 1 / 20) / 4)
    assert p[first, RESIDUES.index("D")].item() == pytest.approx((3 + 1 / 20) / 4)
    examples = [encode(record, PAIRED, (0,)) for record in train]
    held_out = measure(examples, BaselinePredictor(baseline, train), fractions=[1.0], draws=1)
    assert held_out.residues.sum() == sum(len(example.residues) for example in examples)
    # All but CDR3 is shared, at 0.27 nats a residue; mixed chains would cost more than 0.69 each.
    assert held_out.nats.sum() / held_out.residues.sum() < 0.5
