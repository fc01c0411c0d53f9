"""`infill_request`, `AntibodyModel.infill` and rules: what changes, what stays, what is refused."""

import re
from dataclasses import replace

import pytest
import torch
from antibodies import GLOBIN, HEAVY, KAPPA
from bundles import make_bundle, manifest_of
from test_model_sampling import SIZES, causal
from toys import TOKENS, chi_square, seeded

from hfbio.errors import SequenceError, SettingError
from hfbio.model import AntibodyModel, load
from hfbio.model.infill import infill_request, varied
from hfbio.models import add_tags
from hfbio.models.scratch import fresh
from hfbio.sample import (
    Causal,
    GermlineWalk,
    Gibbs,
    Guide,
    Reach,
    Request,
    Unmask,
    templates,
)
from hfbio.tokens import Tags

MASKED = [
    Unmask(steps=1),
    Unmask(steps=4, order="entropy"),
    Unmask(steps=4, order="planned"),
    Unmask(steps=5, remask=0.8, temperature=2.0),
    GermlineWalk(steps=3),
    Gibbs(sweeps=1, block=6),
]
OBJECTIVES = {
    "forward": {"kind": "clm", "direction": "forward"},
    "reverse": {"kind": "clm", "direction": "reverse"},
    "infill": {"kind": "infill"},
}
SAME = {"cdr3": [13], "cdr1,cdr3": [8, 13], "26-28,cdr2,120": [3, 8, 1]}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """An adapter with tags on sapiens-vh."""
    folder = tmp_path_factory.mktemp("tuned")
    make_bundle(folder)
    return load(folder)


@pytest.fixture(scope="module")
def writers():
    return {name: causal(objective) for name, objective in OBJECTIVES.items()}


def asked(num=8, **settings):
    return Request(num=num, keep="all", **settings)


def around(regions, lengths):
    """A pattern that only chains fit which are as they were outside the gaps."""
    scaffold = infill_request(HEAVY, regions).scaffold
    sizes = iter(lengths)
    return re.compile(
        "".join(
            f"([A-Z]{{{','.join(map(str, next(sizes)))}}})" if run[0] == "_" else run
            for run in re.findall("_+|[A-Z]+", scaffold)
        )
    )


def sequences(made):
    return [design.sequence_aa for design in made.drawn]


# --- what stays --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", MASKED, ids=str)
@pytest.mark.parametrize("regions", SAME)
def test_all_but_the_regions_is_as_it_was_in_every_design(sapiens, sampler, regions):
    made = sequences(sapiens.infill(HEAVY, regions, request=asked(), sampler=sampler))
    pattern = around(regions, [(n, n) for n in SAME[regions]])
    assert all(pattern.fullmatch(sequence) for sequence in made)
    assert len(set(made)) > 1


@pytest.mark.parametrize("sampler", MASKED[:-1], ids=str)
@pytest.mark.parametrize("lengths", [[(5, 16)], [(3, 4), (20, 22)]])
def test_gaps_of_other_lengths_leave_the_rest_as_it_was(sapiens, sampler, lengths):
    regions = "cdr3" if len(lengths) == 1 else "cdr1,cdr3"
    made = sequences(sapiens.infill(HEAVY, regions, lengths, request=asked(), sampler=sampler))
    found = [around(regions, lengths).fullmatch(sequence) for sequence in made]
    assert all(found)
    assert len({tuple(map(len, one.groups())) for one in found}) > 1


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("regions", SAME)
def test_a_causal_model_leaves_the_rest_as_it_was_too(writers, name, regions):
    made = sequences(writers[name].infill(HEAVY, regions, request=asked()))
    pattern = around(regions, [(n, n) for n in SAME[regions]])
    assert all(pattern.fullmatch(sequence) for sequence in made)
    assert len(set(made)) > 4


@pytest.mark.parametrize("lengths", [[(5, 16)], [(3, 4), (2, 9)]])
def test_a_model_that_has_learnt_to_fill_gaps_chooses_their_lengths(writers, lengths):
    regions = "cdr3" if len(lengths) == 1 else "cdr1,cdr3"
    made = sequences(writers["infill"].infill(HEAVY, regions, lengths, request=asked(16)))
    found = [around(regions, lengths).fullmatch(sequence) for sequence in made]
    assert all(found)
    assert len({tuple(map(len, one.groups())) for one in found}) > 2


def test_a_chain_is_varied_but_for_what_is_frozen(sapiens):
    for sampler in (Gibbs(sweeps=1, block=30), Unmask(steps=2)):
        request = varied(HEAVY, "fwrs,cdr3", asked())
        made = sequences(sapiens.sample(request, sampler=sampler))
        pattern = around("cdr1,cdr2", [(8, 8), (8, 8)])
        assert all(pattern.fullmatch(sequence) for sequence in made)
        assert set(made) - {HEAVY}


# --- lengths -----------------------------------------------------------------------------------


def test_lengths_are_drawn_evenly_and_independently():
    request = infill_request(HEAVY, "cdr1,cdr3", [(5, 7), (10, 13)])
    template = templates(request, (TOKENS.start_id,), Reach("toy", TOKENS, 200, None), {})
    counts = torch.zeros(3, 4)
    for i in range(2400):
        runs = re.findall("_+", "".join("_" if f else "x" for f in template(i, seeded(i)).free))
        counts[len(runs[0]) - 5, len(runs[1]) - 10] += 1
    statistic, bar = chi_square(counts, torch.full((3, 4), 1 / 12))
    assert statistic < bar


def test_one_range_serves_for_all_gaps():
    one = infill_request(HEAVY, "cdr1,cdr3", [(5, 7)])
    assert one == infill_request(HEAVY, "cdr1,cdr3", [(5, 7), (5, 7)])
    assert one.gaps == ((5, 7), (5, 7))


def test_single_lengths_are_a_scaffold_of_these_lengths():
    request = infill_request(HEAVY, "cdr1,cdr3", [(5, 5), (10, 10)])
    assert [len(run) for run in re.findall("_+", request.scaffold)] == [5, 10]
    assert request.gaps == ()
    assert request.start is None
    same = infill_request(HEAVY, "cdr1,cdr3", [(8, 8), (13, 13)])
    assert same == infill_request(HEAVY, "cdr1,cdr3")
    assert same.start == HEAVY
    mixed = infill_request(HEAVY, "cdr1,cdr3", [(5, 5), (10, 12)])
    assert [len(run) for run in re.findall("_+", mixed.scaffold)] == [5, 13]
    assert mixed.gaps == ((5, 5), (10, 12))


@pytest.mark.parametrize("name", ["forward", "reverse"])
def test_any_causal_model_can_be_told_a_length(writers, name):
    made = sequences(writers[name].infill(HEAVY, "cdr3", [(9, 9)], request=asked()))
    assert all(around("cdr3", [(9, 9)]).fullmatch(sequence) for sequence in made)
    with pytest.raises(SettingError, match="toy has not learnt to fill gaps, and cannot choose"):
        writers[name].infill(HEAVY, "cdr3", [(9, 10)])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_chain_that_is_one_gap_ends_where_a_causal_model_ends_it(writers, name):
    made = sequences(writers[name].infill(HEAVY, "cdrs,fwrs", [(4, 9)], request=asked(16)))
    lengths = {len(sequence) for sequence in made}
    assert lengths <= set(range(4, 10))
    assert len(lengths) > 1


def test_a_gap_of_one_residue_has_twenty_fillings_however_long_it_was(sapiens):
    made = sapiens.infill(HEAVY, "cdr3", [(1, 1)], request=Request(num=30))
    assert made.report.drawn == len(set(sequences(made))) == 20
    assert made.report.exhausted


# --- enumeration -------------------------------------------------------------------------------


def test_two_residues_have_four_hundred_fillings_and_no_more(sapiens):
    made = sapiens.infill(HEAVY, "100,105", request=Request(num=500))
    assert made.report.drawn == len(set(sequences(made))) == 400
    assert made.report.kept == made.report.valid
    assert made.report.exhausted
    few = sapiens.infill(HEAVY, "100,105", request=Request(num=8))
    assert few.kept == made.kept[:8]
    assert not few.report.exhausted


def test_the_last_filling_drawn_at_the_limit_of_draws_is_still_the_last(sapiens):
    # 20 x num are as many as there are; one of them has both cysteines.
    made = sapiens.infill(HEAVY, "22,96", request=Request(num=20))
    assert made.report.drawn == 400
    assert [design.sequence_aa for design in made.kept] == [HEAVY]
    assert made.report.exhausted


def test_three_residues_are_drawn_until_there_were_too_many_draws(sapiens):
    sampler = Unmask(steps=1, temperature=0.0)
    made = sapiens.infill(HEAVY, "100-102", request=Request(num=3), sampler=sampler)
    assert (made.report.drawn, made.report.kept) == (60, 1)
    assert not made.report.exhausted


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_causal_model_has_its_own_order_of_two_residues(writers, name):
    model = writers[name]
    made = model.infill(HEAVY, "100,105", request=Request(num=2), sampler=Causal(temperature=0.0))
    assert made.report.drawn == 1
    assert made.report.exhausted
    drawn = model.infill(HEAVY, "100,105", request=asked(2), sampler=Causal(temperature=0.0))
    assert sequences(drawn) == sequences(made) * 2  # as written token by token


def test_rules_leave_out_fillings(sapiens):
    forbid = ("nglyc", "Y", "G[DE]")
    made = sequences(sapiens.infill(HEAVY, "31,33", request=Request(num=400, forbid=forbid)))
    every = sequences(sapiens.infill(HEAVY, "31,33", request=Request(num=400)))

    def breaks(chain):
        a, b = chain[30], chain[32]
        windows = (chain[i : i + 3] for i in range(28, 33))
        motifs = any(re.match("N[^P][ST]", w) or re.match("G[DE]", w[:2]) for w in windows)
        return motifs or "Y" in (a, b)

    assert len(every) == 400
    assert set(made) == {chain for chain in every if not breaks(chain)}
    assert 0 < len(made) < 361  # a rule on Y alone would leave 361


def test_rules_that_leave_no_filling_are_refused(sapiens):
    with pytest.raises(SettingError, match="the rules leave the open residues no filling"):
        sapiens.infill(HEAVY, "31", request=Request(num=1, forbid=(".[^W]", "W")))


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequence", "regions", "lengths", "error", "message"),
    [
        (HEAVY, "", (), SettingError, "there is nothing to redesign"),
        (HEAVY, "cdr4", (), SettingError, "'cdr4' names no residues"),
        (HEAVY, "cdr1,cdr3", [(1, 2)] * 3, SettingError, "leaves 2 gaps, .* given for 3"),
        (HEAVY, "cdr3", [(1, 2)] * 2, SettingError, "leaves 1 gaps, .* given for 2"),
        (HEAVY, "cdr3", [(9, 8)], SettingError, "low before high; got 9-8"),
        (HEAVY, "cdr3", [(0, 8)], SettingError, "must be 1 or more"),
        (GLOBIN, "cdr3", (), SequenceError, "not an antibody"),
        ("MK" + HEAVY, "cdr3", (), SequenceError, "residues 3-122 of 122; give these alone"),
        (HEAVY.lower(), "cdr3", (), SequenceError, "'e' at residue 1"),
        (HEAVY[:90], "cdr3", (), SequenceError, "."),
    ],
)
def test_what_cannot_be_redesigned_is_told(sequence, regions, lengths, error, message):
    with pytest.raises(error, match=message):
        infill_request(sequence, regions, lengths)


def test_a_start_or_a_germline_settles_the_lengths(sapiens):
    with pytest.raises(SettingError, match="gibbs walks on from a chain"):
        sapiens.infill(HEAVY, "cdr3", [(10, 12)], sampler=Gibbs())
    with pytest.raises(SettingError, match="a germline, or a chain to start from, fixes"):
        infill_request(HEAVY, "cdr3", [(10, 12)], Request(germline=HEAVY))
    walk = GermlineWalk(steps=2)
    request = asked(germline=HEAVY)
    made = sequences(sapiens.infill(HEAVY, "cdr3", [(13, 13)], request=request, sampler=walk))
    assert made == sequences(sapiens.infill(HEAVY, "cdr3", request=request, sampler=walk))
    assert made != sequences(sapiens.infill(HEAVY, "cdr3", request=asked(), sampler=walk))


def test_lengths_that_the_model_cannot_read_are_refused(sapiens):
    with pytest.raises(SettingError, match="reads at most 142"):
        sapiens.infill(HEAVY, "cdr3", [(10, 99)])


# --- conditions --------------------------------------------------------------------------------


def test_the_locus_is_that_of_the_chain_where_the_model_has_learnt_it(sapiens):
    tags = Tags.from_rows("prefix", {"locus": ["IGH", "IGK"]})
    base = add_tags(fresh("llama", SIZES, name="toy", rng=seeded(3)), tags)
    manifest = manifest_of(base, tags, objective=OBJECTIVES["infill"])
    model = AntibodyModel(base, base.model, manifest)
    for chain, locus in ((HEAVY, "IGH"), (KAPPA, "IGK")):
        states = []
        made = model.infill(chain, "cdr3", request=asked(2), watch=states.append)
        assert {design.conditions["locus"] for design in made.drawn} == {locus}
        shown = model.base.tokenizer.convert_ids_to_tokens(states[0].ids[0, :2])
        assert shown == ["<cls>", f"[locus:{locus}]"]
    other = asked(2, conditions={"locus": "*"})
    made = model.infill(KAPPA, "cdr3", request=other)
    assert {design.conditions["locus"] for design in made.drawn} == {"*"}
    plain = sapiens.infill(HEAVY, "cdr3", request=asked(2), sampler=Unmask(steps=1))
    assert plain.drawn[0].conditions == {}


# --- rules -------------------------------------------------------------------------------------

OWN_SITE = "EVNTSLVE________________SGGG"  # N-T-S is the user's own
OPEN_AT = range(8, 24)
GUIDE = Guide(lambda chains: [chain.count("N") for chain in chains], 1.0, 4)


def with_a_new_site(model, n_seeds, num, forbid, sampler, guide=None, **more):
    """Designs with a glycosylation site that holds a designed residue; not by way of `Rules`."""
    found = 0
    for seed in range(n_seeds):
        request = asked(num, seed=seed, scaffold=OWN_SITE, forbid=forbid, **more)
        request = replace(request, start=OWN_SITE.replace("_", "A"))
        made = model.sample(request, sampler=sampler, guide=guide)
        for sequence in sequences(made):
            assert sequence.startswith("EVNTSLVE")
            sites = re.finditer("(?=N[^P][ST])", sequence)
            found += any(site.start() + 2 in OPEN_AT or site.start() in OPEN_AT for site in sites)
        assert "forbidden" not in made.report.faults
    return found


@pytest.mark.parametrize("guide", [None, GUIDE], ids=["", "guide"])
@pytest.mark.parametrize("sampler", MASKED, ids=str)
def test_no_design_gets_a_site_it_may_not_have(sapiens, sampler, guide):
    sampler = replace(sampler, temperature=3.0)
    n_seeds, num = (2, 8) if guide else (4, 16)
    assert with_a_new_site(sapiens, n_seeds, num, ("nglyc",), sampler, guide) == 0
    assert with_a_new_site(sapiens, n_seeds, num, (), sampler, guide) > 0


GUIDANCE = {"guidance": 2.0, "conditions": {"isotype": "IGHG"}}
CONTRAST = {"contrast": 1.5}


@pytest.mark.parametrize("guide", [None, GUIDE], ids=["", "guide"])
@pytest.mark.parametrize("more", [GUIDANCE, CONTRAST], ids=["guidance", "contrast"])
@pytest.mark.parametrize("name", ["tuned", *OBJECTIVES])
def test_nor_with_a_second_pass_nor_written_token_by_token(tuned, writers, name, more, guide):
    model = tuned if name == "tuned" else writers[name]
    sampler = Unmask(steps=3, temperature=4.0) if name == "tuned" else Causal(temperature=4.0)
    n_seeds, num = (4, 16) if guide else (3, 32)
    assert with_a_new_site(model, n_seeds, num, ("nglyc",), sampler, guide, **more) == 0
    assert with_a_new_site(model, n_seeds, num, (), sampler, guide, **more) > 0


def test_what_the_end_of_a_gap_completes_is_rejected(writers):
    # An isoleucine follows; that the gap ends there is known once its last residue is drawn.
    request = infill_request(HEAVY, "cdr1", [(5, 9)], asked(48, forbid=("[^S]I",)))
    made = writers["infill"].sample(request, sampler=Causal(temperature=2.0))
    gap = re.compile(request.scaffold.replace("________", "(.*)"))
    ends = {design.index: gap.fullmatch(design.sequence_aa)[1][-1] for design in made.drawn}
    forbidden = {design.index for design in made.drawn if design.fault == "forbidden: [^S]I"}
    assert made.report.faults["forbidden"] == len(forbidden) > 0
    assert "S" not in {ends[i] for i in forbidden}
    assert {ends[design.index] for design in made.drawn if design.valid} == {"S"}


def test_a_site_in_frozen_residues_is_no_fault(sapiens):
    chain = HEAVY.replace("KNTAYL", "KNTSYL")
    request = Request(num=3, forbid=("nglyc",))
    made = sapiens.infill(chain, "cdr3", request=request, sampler=Unmask(steps=4))
    assert made.report.kept == 3
    assert all("KNTSYL" in sequence for sequence in sequences(made))


def test_a_design_that_a_dead_end_makes_break_a_rule_is_rejected_and_says_which(sapiens):
    # 36 is a tryptophan; the rule asks for another in front of any residue.
    request = infill_request(HEAVY, "37-39", request=Request(num=1, forbid=("[^W].", "nglyc")))
    made = sapiens.sample(request, sampler=Unmask(steps=1))
    assert {design.fault for design in made.drawn} == {"forbidden: [^W]."}
    assert made.report.faults == {"forbidden": 20}
    assert made.kept == ()
    kept = sapiens.sample(replace(request, keep="all"), sampler=Unmask(steps=1)).kept
    assert [design.fault for design in kept] == ["forbidden: [^W]."]


# --- same seed, same designs -------------------------------------------------------------------

HOLES = "EVQL______SGGGL_______QTL"
GERMLINE = "EVQLVESGG_SGGGLVQ__GG_QTL"


def tyrosines(chains):
    return [chain.count("Y") for chain in chains]


@pytest.mark.parametrize("more", ["", "rules", "guide"])
@pytest.mark.parametrize("sampler", [*MASKED, "walk", "forward", "infill"], ids=str)
def test_design_i_is_the_same_for_8_and_for_64(sapiens, writers, sampler, more):
    model, request = sapiens, Request(scaffold=HOLES, start=HOLES.replace("_", "A"))
    if sampler in writers:
        model, sampler = writers[sampler], Causal()
    elif sampler == "walk":
        request, sampler = replace(request, germline=GERMLINE), GermlineWalk(steps=3)
    elif not isinstance(sampler, Gibbs):
        request = replace(request, start=None, gaps=((5, 7), (6, 8)))
    forbid = ("nglyc", "Y") if more == "rules" else ()
    settings = {"guide": Guide(tyrosines, 1.0, 4)} if more == "guide" else {}
    few, many = (
        sequences(
            model.sample(
                replace(request, num=n, keep="all", forbid=forbid), sampler=sampler, **settings
            )
        )
        for n in ((8, 64) if more != "guide" else (2, 16))
    )
    assert few == many[: len(few)]
    assert len(set(many)) > len(many) / 4


def test_fillings_come_in_the_same_order_for_8_and_for_64(sapiens, writers):
    for model in (sapiens, *writers.values()):
        few, many = (
            model.infill(HEAVY, "100-101", request=Request(num=n, forbid=("nglyc",)))
            for n in (8, 64)
        )
        assert sequences(few)[:8] == sequences(many)[:8]
        assert few.kept == many.kept[:8]
        assert len(many.kept) == 64


def test_a_chain_of_another_locus_than_the_model_knows_is_refused(sapiens):
    with pytest.raises(SettingError, match="the chain is of IGK; sapiens-vh knows IGH"):
        sapiens.infill(KAPPA, "cdr3")
