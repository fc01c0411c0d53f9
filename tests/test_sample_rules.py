"""Rules: what a text means, what may still be drawn, and samplers that keep them exactly."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from antibodies import HEAVY
from test_sample_germline_walk import OWN, ShownModel, start
from test_sample_unmask import JOINT2, SAMPLERS, blank, designs, mixed_for
from toys import TOKENS, JointModel, PositionModel, chi_square, letters

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError
from hfbio.sample import GermlineWalk, Gibbs, Rules, Template, Unmask, generate


def indices(chain):
    """Indices into the alphabet; ``_`` is undecided."""
    return [RESIDUES.find(letter) for letter in chain]


def allowed(texts, chain, at):
    mask = Rules.parse(texts).allowed(indices(chain), at)
    return "".join(letter for letter, ok in zip(RESIDUES, mask.tolist()) if ok)


def without(*forbidden):
    return "".join(letter for letter in RESIDUES if letter not in forbidden)


# --- what a text means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "chain", "at", "expected"),
    [
        (["C"], "AA_AA", 2, without("C")),
        (["DG"], "AD_AA", 2, without("G")),
        (["DG"], "AA_GA", 2, without("D")),
        (["DG"], "A__GA", 1, RESIDUES),  # its other place is not decided
        (["DG"], "D_G", 1, without("D", "G")),
        (["N[^P][ST]"], "NA_", 2, without("S", "T")),
        (["N[^P][ST]"], "NP_", 2, RESIDUES),
        (["N[^P][ST]"], "N_T", 1, "P"),
        (["N[^P][ST]"], "_AS", 0, without("N")),
        (["nglyc"], "_AS", 0, without("N")),
        (["deamidation"], "N_", 1, without("G", "S")),
        (["isomerisation"], "D_", 1, without("G", "S")),
        (["W.W"], "W_W", 1, ""),
        (["W.W"], "WA_", 2, without("W")),
        (["W.W"], "W__", 2, RESIDUES),  # any residue, but a residue
        (["free_cys"], "C_C_", 1, without("C")),
        (["free_cys"], "C___", 1, RESIDUES),
        (["free_cys"], "CCC_", 3, without("C")),
        (["M", "DG", "nglyc"], "D_T", 1, without("M", "G")),
        (["DG"], "_", 0, RESIDUES),  # longer than the chain
        ([], "AA_", 2, RESIDUES),
    ],
)
def test_what_may_stand_at_a_place(texts, chain, at, expected):
    assert allowed(texts, chain, at) == expected


def test_what_stands_at_the_place_itself_does_not_matter():
    for chain in ("AD_AA", "ADGAA", "ADCAA"):
        assert allowed(["DG", "free_cys"], chain, 2) == without("G")


@pytest.mark.parametrize(
    ("texts", "sequence", "free", "expected"),
    [
        (["nglyc"], "ANASA", "00000", ()),  # the user's own
        (["nglyc"], "ANASA", "10001", ()),  # beside it
        (["nglyc"], "ANASA", "00100", ("nglyc",)),
        (["nglyc"], "ANPSA", "11111", ()),
        (["C"], "ACACA", "01000", ("C",)),
        (["C"], "ACACA", "10101", ()),
        (["DG", "free_cys"], "CDGCC", "00001", ("free_cys",)),
        (["DG", "free_cys"], "CDGCC", "00000", ()),
        (["DG", "free_cys"], "CDGCA", "11111", ("DG",)),
        (["deamidation"], "NGNS", "1111", ("deamidation",)),  # each rule once
        (["AA"], "AXA", "111", ()),
    ],
)
def test_what_a_finished_chain_breaks(texts, sequence, free, expected):
    assert Rules.parse(texts).broken(sequence, [f == "1" for f in free]) == expected


def test_what_is_drawn_one_after_another_as_allowed_breaks_nothing():
    rules = Rules.parse(["nglyc", "DG", "[KR][KR]", "free_cys", "M"])
    rng = torch.Generator().manual_seed(1)
    for _ in range(50):
        chain = [-1] * 12
        for at in torch.randperm(12, generator=rng).tolist():
            options = rules.allowed(chain, at).nonzero().flatten()
            chain[at] = int(options[torch.randint(len(options), (), generator=rng)])
        assert rules.broken("".join(RESIDUES[i] for i in chain), [True] * 12) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("nglycc", "'n' at character 1 is not one of"),
        ("N[^P", r"'\[' at character 2 is not closed"),
        ("N[]", "no residue fits"),
        (f"N[^{RESIDUES}]", "no residue fits"),
        ("N[^PX]", "'X' at character 5"),
        ("N]", r"'\]' at character 2"),
        ("N{2}", "'{' at character 2"),
        ("(N|D)G", r"'\(' at character 1"),
        (".", "every chain would break it"),
        ("..", "every chain would break it"),
    ],
)
def test_a_text_that_is_no_rule_is_named_with_its_place(text, message):
    with pytest.raises(SettingError, match=message) as caught:
        Rules.parse(["C", text])
    assert repr(text)[:80] in str(caught.value)
    assert "nglyc, deamidation, isomerisation, free_cys" in str(caught.value)


# --- samplers keep them ------------------------------------------------------------------------

RULES = Rules.parse(["nglyc", "DG", "[KR][KR]", "W[^W]Y", "M"])


def ruled(model, sampler, template, n, rules, seed=0, block_size=16):
    run = generate(model, TOKENS, sampler, template, seed=seed, block_size=block_size, rules=rules)
    return list(islice(run, n))


ALL_SAMPLERS = [
    *SAMPLERS,
    Unmask(steps=5, remask=1.0),
    Unmask(order="planned", steps=5),
    Gibbs(sweeps=1, block=3),
]


def with_start(template):
    def started(i, rng):
        made = template(i, rng)
        ids = torch.tensor(TOKENS.residue_ids)
        return replace(made, start=ids[torch.randint(20, made.free.shape, generator=rng)])

    return started


@pytest.mark.parametrize("sampler", ALL_SAMPLERS, ids=str)
def test_no_sampler_breaks_a_rule_and_frozen_residues_survive(sampler):
    templates = {}

    def template(i, rng):
        made = with_start(mixed_for(sampler))(i, rng)
        templates[i] = made
        return made

    made = ruled(PositionModel(), sampler, template, 48, RULES)
    for i, ids in enumerate(made):
        free = templates[i].free
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()
        assert RULES.broken(letters(ids), free.tolist()) == ()
    plain = ruled(PositionModel(), sampler, with_start(mixed_for(sampler)), 48, None)
    n_broken = sum(
        bool(RULES.broken(letters(ids), templates[i].free.tolist())) for i, ids in enumerate(plain)
    )
    assert n_broken > 24  # of 48: the rules had something to do


def test_residues_of_one_step_are_drawn_exactly_as_if_one_after_another():
    # All at once, so from the marginals; the second knows what the first has become: not AC.
    rules = Rules.parse(["AC"])
    model = JointModel(JOINT2)
    made = ruled(model, Unmask(steps=1), lambda i, rng: blank(2), 4000, rules, block_size=4000)
    counts = torch.zeros(3, 3)
    for ids in made:
        counts[tuple(TOKENS.residue_ids.index(token) for token in ids.tolist())] += 1
    first, second = JOINT2.sum(1), JOINT2.sum(0).repeat(3, 1)
    second[0, 1] = 0
    expected = first[:, None] * second / second.sum(1, keepdim=True)
    statistic, bar = chi_square(counts, expected)
    assert statistic < bar
    off, bar = chi_square(counts + 1e-9, JOINT2.sum(1)[:, None] * JOINT2.sum(0))
    assert off > bar


@pytest.mark.parametrize(("text", "left"), [("AC", "AD"), ("D", "AC"), ("AD", "C"), ("A[AC]", "D")])
def test_staying_with_the_germline_obeys_the_rules_too(text, left):
    # A _ D, the germline of the open residue is D.
    model = ShownModel()
    made = ruled(
        model,
        GermlineWalk(),
        lambda i, rng: start((False, True, False)),
        2000,
        Rules.parse([text]),
        block_size=2000,
    )
    p = model.table[(0, 2, 2)][1]
    p = p * torch.tensor([letter in left for letter in letters(OWN)])
    counts = torch.zeros(3)
    for ids in made:
        counts[OWN.tolist().index(int(ids[1]))] += 1
    statistic, bar = chi_square(counts, p / p.sum())
    assert statistic <= bar


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_rules_that_never_apply_change_no_design(sampler):
    # A motif that is longer than any chain.
    rules = Rules.parse(["A" * 60])
    plain = designs(PositionModel(), sampler, mixed_for(sampler), 20)
    same = ruled(PositionModel(), sampler, mixed_for(sampler), 20, rules)
    assert all(a.equal(b) for a, b in zip(plain, same))


def scaffold(text):
    free = torch.tensor([letter == "_" for letter in text])
    return Template(
        (0,),
        TOKENS.encode(text.replace("_", "A")),
        free,
        start=TOKENS.encode(text.replace("_", "W")),
    )


@pytest.mark.parametrize("sampler", [Unmask(), GermlineWalk(), Gibbs()], ids=str)
def test_a_residue_that_frozen_neighbours_leave_nothing_is_refused_at_once(sampler):
    rules = Rules.parse(["[^A]A"])  # not A after G, and nothing but A before A
    with pytest.raises(SettingError, match="residue 3 is to be designed, and the rules leave it"):
        ruled(PositionModel(), sampler, lambda i, rng: scaffold("WG_AW"), 1, rules)


def test_a_dead_end_that_shows_late_is_finished_and_told():
    rules = Rules.parse(["[^A]A"])  # G _ _ A cannot be filled, though each residue alone could be
    made = ruled(PositionModel(), Unmask(steps=1), lambda i, rng: scaffold("G__A"), 16, rules)
    for ids in made:
        assert TOKENS.allowed[ids].all()
        assert rules.broken(letters(ids), [False, True, True, False]) == ("[^A]A",)


def test_designs_without_rules_are_those_of_the_first_release():
    # Drawn with the version before there were rules, remasking and Gibbs: the stream has not moved.
    first = {
        Unmask(order="ancestral", steps=4): ["DACCNGPHWWFD", "LEDQQGKLTGHS"],
        Unmask(order="entropy", steps=4): ["DEQCMDCMTWSI", "LDQCMHPCPGVD"],
    }
    for sampler, expected in first.items():
        made = designs(PositionModel(), sampler, lambda i, rng: blank(12), 2)
        assert [letters(ids) for ids in made] == expected
    germline = torch.tensor(TOKENS.residue_ids[:12])
    made = designs(
        PositionModel(),
        GermlineWalk(steps=4),
        lambda i, rng: replace(blank(12), germline=germline),
        2,
    )
    assert [letters(ids) for ids in made] == ["DTKWKRGEGNGH", "LTCFAPEAGWWT"]


def test_an_antibody_keeps_its_two_cysteines_and_gets_no_third():
    rules = Rules.parse(["free_cys"])
    free = torch.tensor([letter != "C" for letter in HEAVY])
    template = Template((0,), TOKENS.encode(HEAVY), free)
    made = ruled(PositionModel(130), Unmask(steps=8), lambda i, rng: template, 16, rules)
    assert all(letters(ids).count("C") == 2 for ids in made)
    plain = ruled(PositionModel(130), Unmask(steps=8), lambda i, rng: template, 16, None)
    assert sum(letters(ids).count("C") > 2 for ids in plain) > 8
