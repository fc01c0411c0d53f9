"""Folders that `hfbio push` hands to the card: real metrics of random models, and real weights."""

import json
from functools import cache

import torch
from antibodies import HEAVY, heavy_with, random_cdr3s
from toys import TOKENS, PositionModel, numbered

from hfbio.bundle import Manifest, write_json, write_manifest
from hfbio.data.encode import encode
from hfbio.report.text import LABELS
from hfbio.score.heldout import measure, model_predictor
from hfbio.score.summary import summarise
from hfbio.tokens import Tags

REPO = "user/my_model"
GERMLINE = "Q" + HEAVY[1:60] + "A" * 10 + HEAVY[70:98] + "-" * 22
TAGS = Tags.from_rows(
    "composite",
    {
        "locus": ["IGH"] * 4,
        "species": ["human", "human", "mouse", "human"],
        "isotype": ["IGHG", "IGHM", "IGHM", ""],
    },
)
SPLIT = {
    "by": "clone",
    "seed": 7,
    "fractions": [0.7, 0.125, 0.175],
    "table_digest": "2391ebad7464" + "5" * 52,
    "digest": "909e4e0aa3e5" + "6" * 52,
    "n_rows": {"train": 1096, "validation": 136, "test": 139},
    "n_groups": {"train": 771, "validation": 119, "test": 123},
    "largest_group": 259,
    "leak": {
        "n_test": 141,
        "identical_sequence": 0.0142,
        "identical_cdr3": 0.0283,
        "near_sequence": 0.0657,
        "n_compared": 142,
    },
}
MANIFEST = Manifest(
    base="sapiens-vh",
    base_revision=None,
    family="roberta",
    base_license="MIT",
    method="lora",
    objective={"kind": "diffusion", "min_t": 0.02},
    tags=TAGS,
    lengths={
        "IGH|human|*": {"119": 31},
        "IGH|human|IGHG": {"120": 613, "121": 12},
        "IGH|human|IGHM": {"115": 218, "126": 7},
        "IGH|mouse|IGHM": {"117": 215},
    },
    sampler={"kind": "unmask", "order": "ancestral", "steps": 8, "temperature": 0.7, "top_p": 0.9},
    data={"source": "example:ExampleDb", "license": "AGPL-3.0", "split": SPLIT, "train": 1096},
    training={"seed": 3, "settings": {"max_steps": 1250, "learning_rate": 0.003}},
    versions={"hfbio": "0.1.0", "torch": "2.13.0+cpu"},
)
DESIGNS = {
    "seed": 0,
    "sampler": dict(MANIFEST.sampler),
    "asked": 33,
    "drawn": 33,
    "valid": 29,
    "unique": 28,
    "novel": 27,
    "median_nearest_identity": 0.8642,
    "faults": {"no antibody domain": 4},
}


def metrics(**changes):
    """What a run and a push write into metrics.json, with ``changes`` in place of its parts."""
    log = [{"step": k, "loss": 2 / k} for k in (10, 20)]
    log += [{"step": 20, "eval_nats_per_residue_at_0.5": 0.7}]
    return {
        **json.loads(_measured()),
        "run": {"trainable_parameters": 121_984, "processes": 2, "hardware": "2 x AMD EPYC cores"},
        "split": SPLIT,
        "left_out": {"longer than the 142 residues of sapiens-vh": 5},
        "training": {"steps": 1250, "loss": 0.5, "seconds": 158.4865, "log": log},
        "designs": DESIGNS,
        **changes,
    }


def write_bundle(folder, manifest=MANIFEST, content=None):
    """hfbio.json and metrics.json; the card reads nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)
    write_json(folder / "metrics.json", content or metrics())
    return folder


def write_weights(folder):
    """Sapiens-VH with tags, an adapter and ``merged/``, as a run would save them.

    Thirty steps on one chain with many CDR3s teach it enough to write valid and distinct chains
    from a blank, which Sapiens-VH alone hardly does.
    """
    from hfbio.models import AdapterConfig, add_tags, attach, load_base, merge
    from hfbio.rng import generator

    base = add_tags(load_base("sapiens-vh"), TAGS)
    config = AdapterConfig(r=8, lora_alpha=32, modules_to_save=("LayerNorm", "layer_norm"))
    model = attach(base, config, rng=generator(1))
    _learn(model, base, [heavy_with(cdr3) for cdr3 in random_cdr3s(240)])
    model.save_pretrained(folder, save_embedding_layers=False)
    base.tokenizer.save_pretrained(folder)
    merge(model).save_pretrained(folder / "merged")
    base.tokenizer.save_pretrained(folder / "merged")
    return write_bundle(folder)


def _learn(model, base, chains, batch=8):
    """One pass over the chains, with all tags and a random share of residues hidden."""
    tokens, rng = base.token_map, torch.Generator().manual_seed(0)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    ids = torch.stack([tokens.encode(chain) for chain in chains])
    for i in range(0, len(chains), batch):
        clean = ids[i : i + batch]
        hidden = torch.rand(clean.shape, generator=rng) < torch.rand(batch, 1, generator=rng)
        tags = torch.tensor(base.tag_ids)[torch.randint(len(base.tag_ids), (batch,), generator=rng)]
        stop = torch.full((batch, 1), tokens.stop_id)
        shown = torch.cat([tags[:, None], clean.masked_fill(hidden, tokens.mask_id), stop], 1)
        logits = model(input_ids=shown, attention_mask=torch.ones_like(shown)).logits[:, 1:-1]
        torch.nn.functional.cross_entropy(logits[hidden], clean[hidden]).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@cache
def _measured():
    """Random contenders on four chains: some cells are better than the base, some worse."""
    chains = [HEAVY, *map(heavy_with, random_cdr3s(3))]
    records = [numbered(chain) for chain in chains[1:]]
    records.append(numbered(HEAVY, germline_alignment_aa=GERMLINE))
    examples = [encode(record, TOKENS, (0,)) for record in records]
    results = {
        name: measure(examples, model_predictor(PositionModel(140, i), TOKENS, examples), draws=2)
        for i, name in enumerate(LABELS)
    }
    return json.dumps(summarise(results, range(len(records)), compare=("base", "tuned")))
