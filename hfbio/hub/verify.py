"""Load a bundle back and compare it with the one that was sent. Uploads nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from hfbio.errors import HfbioError, HubError, UnknownModel
from hfbio.hub.client import BACKOFF_SECONDS, TRIES, redact
from hfbio.model import AntibodyModel, load
from hfbio.sample import Request

N_SEQUENCES = 5
TOLERANCE = 1e-4  # nats; the same bytes on the same machine give 0, merged weights 1e-5


@dataclass(frozen=True)
class Fingerprint:
    """What a model writes for one seed, and its logits on that."""

    sequences: tuple[str, ...]
    logits: tuple[Tensor, ...]  # each (L, 20), residues only


def fingerprint(model: AntibodyModel) -> Fingerprint:
    """Five designs of seed 0, and logits with every third of their residues masked.

    A causal model reads them as they are: each logit tells of the next residue then.
    """
    drawn = model.sample(Request(num=N_SEQUENCES, seed=0, keep="all")).drawn
    sequences = tuple(design.sequence_aa for design in drawn)
    return Fingerprint(sequences, tuple(_logits(model, sequence) for sequence in sequences))


def require_same(repo_id: str, commit: str, sent: Fingerprint) -> None:
    """Load ``repo_id`` at ``commit`` and compare.

    Raises:
        HubError: it cannot be loaded, writes other designs for the same seed, or its logits
            differ by more than `TOLERANCE`.
    """
    back = _load_back(repo_id, commit)
    if back.manifest is None:
        raise HubError(f"what was uploaded to {repo_id} holds no readable hfbio.json")
    furthest = max(
        (_logits(back, sequence) - logits).abs().max().item()
        for sequence, logits in zip(sent.sequences, sent.logits)
    )
    if furthest > TOLERANCE:
        raise HubError(
            f"{repo_id} does not compute what the run computes: logits of {N_SEQUENCES} sequences "
            f"differ by up to {furthest:.2g}, more than {TOLERANCE:g}"
        )
    if fingerprint(back).sequences != sent.sequences:
        raise HubError(f"{repo_id} writes other designs than the run does for the same seed")


def _load_back(repo_id: str, commit: str) -> AntibodyModel:
    """Loaded, with some patience: a busy Hub says nothing about what was uploaded."""
    for i in range(TRIES):
        try:
            return load(repo_id, revision=commit)
        except HfbioError as error:
            fault = error
            if not isinstance(error, HubError | UnknownModel):
                break
            if i < TRIES - 1:
                time.sleep(BACKOFF_SECONDS * 2**i)
    raise HubError(f"what was uploaded to {repo_id} cannot be loaded back: {redact(str(fault))}")


def _logits(model: AntibodyModel, sequence: str) -> Tensor:
    tokens = model.base.token_map
    prefix = model.prompt.ids(model.tags.choose({}))
    residues = tokens.encode(sequence)
    if not model.base.family.causal:
        residues[::3] = tokens.require_mask()
    ids = torch.tensor(
        [[*prefix, *residues.tolist(), tokens.stop_id]],
        device=next(model.model.parameters()).device,
    )
    with torch.no_grad():
        logits = model.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    inside = slice(len(prefix), len(prefix) + len(sequence))
    return logits[inside][:, list(tokens.residue_ids)].float().cpu()
