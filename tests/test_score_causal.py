"""What a causal model is charged for each residue: the same as when asked for it by hand."""

import dataclasses

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from toys import numbered

from hfbio.data.encode import encode, encode_described
from hfbio.models import add_tags
from hfbio.models.scratch import fresh
from hfbio.objectives import CausalLM, Infill, weighted_nats
from hfbio.record import REGIONS
from hfbio.rng import generator
from hfbio.score.assess import ALL, Contender, measure_baselines, measure_model, task_of
from hfbio.score.causal import next_predictor, next_residues, span_predictor, span_residues
from hfbio.score.heldout import STATUS, measure
from hfbio.score.summary import summarise
from hfbio.tokens import Tags

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
TAGS = Tags.from_rows("prefix", {"locus": ["IGH", "IGK"], "species": ["human", "human"]})
RECORDS = [
    numbered(HEAVY, "h", species="human", germline_alignment_aa="Q" + HEAVY[1:96] + "-" * 24),
    numbered(KAPPA, "k", species="human"),
    *(numbered(heavy_with(cdr3), f"c{i}") for i, cdr3 in enumerate(random_cdr3s(2))),
]


@pytest.fixture(scope="module")
def tagged():
    """A tiny Llama of large random weights, so that every residue before counts."""
    base = add_tags(fresh("llama", SIZES, name="toy", rng=generator(0)), TAGS)
    with torch.no_grad():
        for weight in base.model.parameters():
            weight.mul_(4.0)
    return base


@pytest.fixture(scope="module")
def examples(tagged):
    return encode_described(RECORDS, tagged.token_map, tagged.prompt(TAGS))


def nats_by_hand(model, ids, at):
    """``-ln p`` of the token at ``at``, from a pass over what stands before it and nothing else."""
    with torch.no_grad():
        logits = model(input_ids=ids[None, :at]).logits[0, -1]
    return -logits.double().log_softmax(-1)[ids[at]].item()


def test_next_nats_are_those_of_passes_that_end_before_the_residue(tagged, examples):
    found = next_residues(tagged.model, tagged.token_map, examples)  # padded to one length
    for example, (nats, hits) in list(zip(examples, found, strict=True))[:2]:
        at = example.residues.tolist()
        by_hand = [nats_by_hand(tagged.model, example.input_ids, i) for i in at]
        assert nats.tolist() == pytest.approx(by_hand, abs=1e-4)
        assert nats.std() > 0.5  # not the same for all
        with torch.no_grad():
            guesses = tagged.model(input_ids=example.input_ids[None]).logits[0].argmax(-1)
        assert hits.tolist() == [bool(guesses[i - 1] == example.input_ids[i]) for i in at]


def test_the_chain_rule_holds_with_the_loss_of_training(tagged, examples):
    example = examples[0]
    made = CausalLM().corrupt(example, tagged.token_map, generator(0))
    with torch.no_grad():
        logits = tagged.model(input_ids=made.input_ids[None]).logits
    loss = weighted_nats(logits, made.labels[None], made.weights[None]).item()
    ((nats, _),) = next_residues(tagged.model, tagged.token_map, [example])
    end = nats_by_hand(tagged.model, example.input_ids, len(example.input_ids) - 1)
    assert loss == pytest.approx(nats.sum().item() + end, rel=1e-5)


def test_reversed_nats_come_in_the_order_of_the_chain(tagged, examples):
    found = next_residues(tagged.model, tagged.token_map, examples, reverse=True)
    for example, (nats, _) in list(zip(examples, found, strict=True))[:2]:
        tokens, first = tagged.token_map, int(example.residues[0])
        turned = torch.tensor(
            [
                tokens.stop_id,
                *example.input_ids[1:first].tolist(),
                *example.input_ids[first:-1].tolist()[::-1],
                tokens.start_id,
            ]
        )
        by_hand = [nats_by_hand(tagged.model, turned, i) for i in range(first, len(turned) - 1)]
        assert nats.tolist() == pytest.approx(by_hand[::-1], abs=1e-4)


def test_span_nats_are_those_of_a_chain_cut_by_hand(tagged, examples):
    example, record = examples[1], RECORDS[1]
    nats, _ = span_residues(tagged.model, tagged.token_map, example)
    tokens = tagged.token_map
    prefix = example.input_ids[: int(example.residues[0])].tolist()
    by_hand = []
    for start, stop in zip(record.regions, record.regions[1:]):
        chain = record.sequence_aa
        front = [
            *(*prefix, *tokens.encode(chain[:start]).tolist(), tokens.mask_id),
            *(*tokens.encode(chain[stop:]).tolist(), tokens.sep_id),
        ]
        ids = torch.tensor([*front, *tokens.encode(chain[start:stop]).tolist()])
        by_hand += [nats_by_hand(tagged.model, ids, i) for i in range(len(front), len(ids))]
    assert nats.tolist() == pytest.approx(by_hand, abs=1e-4)


def test_span_nats_are_what_infilling_is_trained_on(tagged, examples):
    # With one gap that is a region, the loss behind the separator is what is charged for it.
    example, tokens = examples[0], tagged.token_map
    made = Infill(whole=0, by_region=1, max_spans=1).corrupt(example, tokens, generator(5))
    row = made.input_ids.tolist()
    size = len(row) - row.index(tokens.sep_id) - 2  # but for the separator and the end
    with torch.no_grad():
        log_p = tagged.model(input_ids=made.input_ids[None]).logits[0].log_softmax(-1)
    trained = [-log_p[i - 1, row[i]].item() for i in range(len(row) - 1 - size, len(row) - 1)]
    start = row.index(tokens.mask_id) - int(example.residues[0])
    nats, _ = span_residues(tagged.model, tokens, example)
    assert nats[start : start + size].tolist() == pytest.approx(trained, abs=1e-4)


@pytest.mark.parametrize("predictor", [next_predictor, span_predictor])
def test_an_answer_does_not_depend_on_what_is_asked_with_it(tagged, examples, predictor):
    predict = predictor(tagged.model, tagged.token_map, examples)
    everything = [torch.arange(len(e.residues)) for e in examples]
    together = predict(range(len(examples)), everything)
    some = torch.tensor([7, 3, 50])
    for i, (nats, hits) in enumerate(together):
        ((n, h),) = predict([i], [some])
        torch.testing.assert_close(n, nats[some], atol=1e-4, rtol=1e-4)
        assert h.equal(hits[some])


@pytest.mark.parametrize("task", ["next", "next_reverse", "span"])
def test_sums_by_region_and_status_add_up_and_baselines_share_the_residues(tagged, task):
    contender = Contender(tagged.model, tagged.token_map, tagged.prompt(TAGS), task)
    settings = {"draws": 3, "seed": 0}
    sums = measure_model(contender, RECORDS, batch_size=3, **settings)
    assert sums.fractions == ALL
    n = [len(record.sequence_aa) for record in RECORDS]
    assert sums.cell(sums.residues).tolist() == [n]  # each once, whatever `draws` says
    for name, parts in (("region", REGIONS), ("status", STATUS)):
        by_part = sum(sums.cell(sums.nats, **{name: part}) for part in parts)
        torch.testing.assert_close(by_part, sums.cell(sums.nats))
    example = encode(
        RECORDS[0], tagged.token_map, contender.prompt.ids(TAGS.choose({"locus": "IGH"}))
    )
    if task == "span":
        nats, _ = span_residues(tagged.model, tagged.token_map, example)
    else:
        reverse = task == "next_reverse"
        ((nats, _),) = next_residues(tagged.model, tagged.token_map, [example], reverse)
    assert sums.cell(sums.nats)[0, 0].item() == pytest.approx(nats.sum().item(), rel=1e-5)
    cdr3 = nats[RECORDS[0].regions[5] : RECORDS[0].regions[6]]
    assert sums.cell(sums.nats, "cdr3")[0, 0].item() == pytest.approx(cdr3.sum().item(), rel=1e-5)

    baselines = measure_baselines(RECORDS[2:], RECORDS, contender, **settings)
    for counted in baselines.values():
        assert counted.residues.equal(sums.residues)
    told = summarise({"model": sums, **baselines}, range(len(RECORDS)), compare=None, task=task)
    assert told["task"] == task
    assert {row["masked"] for row in told["held_out"]} == {1.0}
    assert told["held_out"][0]["model"]["nats_per_residue"] == pytest.approx(
        sums.nats.sum().item() / sum(n)
    )


def test_a_part_of_the_chains_is_measured_as_in_the_whole(tagged, examples):
    predict = span_predictor(tagged.model, tagged.token_map, examples)
    asked = {"fractions": ALL, "draws": 1, "batch_size": 2}
    whole = measure(examples, predict, **asked)
    parts = [measure(examples, predict, rows=rows, **asked) for rows in ([0, 2], [1, 3])]
    torch.testing.assert_close(parts[0].nats + parts[1].nats, whole.nats)
    assert (parts[0].residues + parts[1].residues).equal(whole.residues)


@pytest.mark.parametrize(
    ("objective", "causal", "task"),
    [
        (dataclasses.asdict(CausalLM()), True, "next"),
        (dataclasses.asdict(CausalLM(direction="both")), True, "next"),
        (dataclasses.asdict(CausalLM(direction="reverse")), True, "next_reverse"),
        (dataclasses.asdict(Infill()), True, "span"),
        ({"kind": "diffusion", "min_t": 0.02}, False, "masked"),
        (None, True, "next"),
        (None, False, "masked"),
    ],
    ids=str,
)
def test_a_model_is_asked_what_it_was_trained_for(objective, causal, task):
    assert task_of(objective, causal=causal) == task
