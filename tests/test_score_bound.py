"""The diffusion bound: equal to the likelihood where the model is exact, above it elsewhere."""

from itertools import product

import pytest
import torch
from toys import TOKENS, JointModel, seeded

from hfbio.data.encode import Example
from hfbio.score.bound import DRAWS, bound
from hfbio.score.summary import summarise_bound

JOINT = torch.rand(3, 3, 3, generator=seeded(7)).pow(3)
JOINT /= JOINT.sum()
N_ROWS = 600


def example(values):
    residues = torch.tensor([TOKENS.residue_ids[v] for v in values])
    ids = torch.cat([torch.tensor([TOKENS.start_id]), residues, torch.tensor([TOKENS.stop_id])])
    region_ids = torch.tensor([-1, 0, 1, 5, -1])
    return Example(ids, region_ids, germline_ids=torch.full_like(ids, -1))


def predictor(model, examples):
    def predict(rows, hidden):
        answers = []
        for row, at in zip(rows, hidden):
            shown = examples[row].input_ids.clone()
            shown[1 + at] = TOKENS.mask_id
            logits = model(shown[None], torch.ones_like(shown[None])).logits[0]
            log_p = logits[:, list(TOKENS.residue_ids)].log_softmax(-1)
            truth = [TOKENS.residue_ids.index(int(i)) for i in examples[row].input_ids[1 + at]]
            nats = -log_p[1 + at, truth]
            answers.append((nats, log_p[1 + at].argmax(-1) == torch.tensor(truth)))
        return answers

    return predict


def mean_nats(joint, values):
    examples = [example(values)] * N_ROWS
    sums = bound(examples, predictor(JointModel(joint), examples), seed=3, draws=3)
    return float(sums.nats.sum() / sums.residues.sum())


@pytest.mark.parametrize("values", [(0, 1, 2), (2, 2, 0)])
def test_an_exact_model_is_charged_what_the_chain_costs(values):
    # Over all orders of decoding the chain rule holds, so the bound is the likelihood itself.
    exact = -JOINT[values].log().item() / 3
    assert mean_nats(JOINT, values) == pytest.approx(exact, abs=0.02)


def test_a_model_of_another_joint_is_charged_more_on_average():
    # The mean over chains is a cross-entropy of every order: at least the entropy.
    other = torch.full_like(JOINT, 1 / JOINT.numel())
    entropy = -(JOINT * JOINT.log()).sum().item() / 3
    cross = sum(float(JOINT[v]) * mean_nats(other, v) for v in product(range(3), repeat=3))
    assert cross == pytest.approx(torch.tensor(3.0).log().item(), abs=1e-5)  # it guesses among 3
    assert cross > entropy + 0.1


def test_every_residue_counts_as_often_as_there_are_draws_and_the_masks_are_keyed():
    examples = [example((0, 1, 2)), example((1, 1, 1))]
    predict = predictor(JointModel(JOINT), examples)
    whole = bound(examples, predict, seed=1)
    assert whole.residues.sum() == 2 * 3 * DRAWS
    assert whole.cell(whole.residues, "cdr3").tolist() == [[DRAWS, DRAWS]]
    parts = [bound(examples, predict, seed=1, rows=[row], batch_size=1) for row in (0, 1)]
    assert torch.equal(whole.nats, parts[0].nats + parts[1].nats)
    assert not torch.equal(whole.nats, bound(examples, predict, seed=2).nats)


def test_the_summary_has_one_number_a_name_and_their_difference():
    examples = [example((0, 1, 2)), example((1, 1, 1))]
    ours = bound(examples, predictor(JointModel(JOINT), examples))
    flat = torch.full_like(JOINT, 1 / JOINT.numel())
    theirs = bound(examples, predictor(JointModel(flat), examples))
    told = summarise_bound({"base": theirs, "tuned": ours}, [0, 1], compare=("base", "tuned"))
    gap = told["tuned"]["nats_per_residue"] - told["base"]["nats_per_residue"]
    assert told["difference"]["nats_per_residue"] == pytest.approx(gap)
    assert told["base"]["nats_per_residue"] == pytest.approx(torch.tensor(3.0).log().item())
