"""`hfbio.load`: a base or a bundle, ready to sample and score. Trains nothing, pushes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from torch import nn

from hfbio.bundle import MANIFEST, Manifest, read_manifest
from hfbio.data import Fault, Reject
from hfbio.data.encode import encode_described
from hfbio.data.groups import clone_groups
from hfbio.errors import AdapterMismatch, DataError, SequenceError, SettingError
from hfbio.models import LoadedBase, add_tags, for_objective, load_base, restore
from hfbio.models.catalogue import find
from hfbio.record import REGIONS, AntibodyRecord
from hfbio.sample import Reach, Request, State, Unmask, build, generate, templates
from hfbio.score.assess import Contender, measure_baselines, measure_model
from hfbio.score.likelihood import mean_by_region, pseudo_nats
from hfbio.score.panel import Design, DesignReport, add_novelty, examine, report
from hfbio.score.summary import summarise
from hfbio.tokens import Tags

MAX_DRAWS_PER_DESIGN = 20


@dataclass(frozen=True)
class Designs:
    """Designs and the account of how they came about."""

    kept: tuple[Design, ...]
    drawn: tuple[Design, ...]  # all draws in order, the kept ones among them
    report: DesignReport


class AntibodyModel:
    """A model with its tokenizer, conditions and defaults."""

    def __init__(
        self,
        base: LoadedBase,
        model: nn.Module,
        manifest: Manifest | None,
        base_location: str | None = None,
    ) -> None:
        """Use `hfbio.load` instead.

        Args:
            base: with the tag tokens added.
            model: the network to run: ``base.model``, or the adapted one.
            manifest: of the bundle; ``None`` for a bare base.
            base_location: where the base was found, if not by the name in the manifest.
        """
        self.base = base
        self.model = model.eval()
        self.manifest = manifest
        self._base_location = base_location
        self.tags = manifest.tags if manifest else Tags()
        self.prompt = base.prompt(self.tags)

    def sampler(self, **settings: Any) -> Unmask:
        """The sampler this model was saved with, with ``settings`` in place of its own.

        Raises:
            SettingError: an unknown setting or a value out of range.
        """
        saved = dict(self.manifest.sampler) if self.manifest else {}
        given = {name: value for name, value in settings.items() if value is not None}
        return build({**saved, **given})

    def sample(
        self,
        request: Request,
        *,
        sampler: Unmask | None = None,
        reference: Sequence[AntibodyRecord] = (),
        progress: Callable[[int, int], None] | None = None,
        watch: Callable[[State], None] | None = None,
    ) -> Designs:
        """Generate new chains.

        Draws are numbered from 0; draw ``i`` depends on the seed and ``i`` alone. With
        ``keep="valid"`` the first ``num`` draws that are valid and distinct are kept, out of at
        most 20 x ``num``; fewer is a shortfall that ``report`` shows and no error.

        Args:
            request: what to generate.
            sampler: how; `sampler()` if ``None``.
            reference: chains to compare with, normally the training split, for novelty.
            progress: called with (kept, drawn) after each draw.
            watch: called with each intermediate state of a block.

        Raises:
            SettingError: a condition, length or scaffold this model cannot serve.
        """
        conditions = self.tags.choose(request.conditions or {})
        reach = Reach(
            self.base.name,
            self.base.token_map,
            self.base.max_residues,
            self.manifest.lengths if self.manifest else None,
        )
        draws = generate(
            self.model,
            self.base.token_map,
            sampler or self.sampler(),
            templates(request, self.prompt.ids(conditions), reach, conditions),
            seed=request.seed,
            block_size=request.block_size,
            watch=watch,
        )
        drawn: list[Design] = []
        kept: list[Design] = []
        seen: dict[str, int] = {}
        limit = request.num * (MAX_DRAWS_PER_DESIGN if request.keep == "valid" else 1)
        for index, ids in enumerate(islice(draws, limit)):
            design = examine(index, self.base.token_map.decode(ids), seen, conditions)
            drawn.append(design)
            if request.keep == "all" or (design.valid and design.duplicate_of is None):
                kept.append(design)
            if progress is not None:
                progress(len(kept), len(drawn))
            if len(kept) == request.num:
                break
        if reference:
            kept = add_novelty(kept, reference)
        return Designs(tuple(kept), tuple(drawn), report(request.num, drawn, kept))

    def readable(
        self, records: Sequence[AntibodyRecord], source: str
    ) -> tuple[list[AntibodyRecord], list[Reject]]:
        """The chains this model was made for, and rejects for the others.

        `score` itself refuses only what is too long: a light chain on a heavy-chain model gets a
        number there, though not a useful one.

        Args:
            records: numbered chains.
            source: their file, for the rejects; ``line`` there is the place in ``records``.
        """
        kept, rejects = [], []
        for i, record in enumerate(records):
            if fault := self.base.unreadable(record):
                rejects.append(Reject(source, i + 1, record.sequence_id, Fault.UNREADABLE, fault))
            else:
                kept.append(record)
        return kept, rejects

    def score(
        self, records: Sequence[AntibodyRecord], *, batch_size: int = 64
    ) -> Iterator[dict[str, Any]]:
        """Masked pseudo-log-likelihood of numbered chains, one row each, in order.

        Yields:
            ``sequence_id``, ``locus``, ``nats_per_residue``, ``perplexity``, and
            ``fwr1_nats_per_residue`` … for each region. Condition tags come from the record.

        Raises:
            SequenceError: a chain is not numbered, or longer than the model reads.
        """
        for record in records:  # all of them before the work, not after half of it
            self._require_readable(record)
        for record in records:
            (example,) = encode_described([record], self.base.token_map, self.prompt)
            nats = pseudo_nats(self.model, self.base.token_map, example, batch_size=batch_size)
            by_region = mean_by_region(nats, example, REGIONS)
            yield {
                "sequence_id": record.sequence_id,
                "locus": str(record.locus),
                "nats_per_residue": nats.mean().item(),
                "perplexity": nats.mean().exp().item(),
                **{f"{name}_nats_per_residue": value for name, value in by_region.items()},
            }

    def evaluate(
        self,
        records: Sequence[AntibodyRecord],
        *,
        train: Sequence[AntibodyRecord] = (),
        draws: int = 4,
        seed: int = 0,
        batch_size: int = 64,
    ) -> dict[str, Any]:
        """Held-out metrics of this model, beside its base if it is a bundle.

        Args:
            records: numbered chains that training never saw.
            train: the training split; adds the counting baselines fitted on it.
            draws: masks per chain and share of masked residues.
            seed: of the masks.
            batch_size: chains per network pass.

        Returns:
            See `hfbio.score.summary.summarise`.

        Raises:
            DataError: there is no chain.
            SequenceError: a chain is not numbered, or longer than the model reads.
        """
        if not records:
            raise DataError("there is no chain to evaluate on")
        for record in records:
            self._require_readable(record)
        settings: dict[str, Any] = {"draws": draws, "seed": seed}
        tuned = Contender(self.model, self.base.token_map, self.prompt)
        measured = {}
        if self.manifest is not None:
            there = self._base_location
            plain = for_objective(
                load_base(
                    there or self.manifest.base,
                    revision=None if there else self.manifest.base_revision,
                ),
                self.manifest.objective["kind"],
            )
            device = next(self.model.parameters()).device
            untuned = Contender(plain.model.to(device), plain.token_map, plain.prompt(Tags()))
            measured["base"] = measure_model(untuned, records, batch_size=batch_size, **settings)
        own_name = "base" if self.manifest is None else "tuned"
        measured[own_name] = measure_model(tuned, records, batch_size=batch_size, **settings)
        if train:
            measured |= measure_baselines(train, records, tuned, **settings)
        groups = clone_groups(records)
        return summarise(
            measured, groups, compare=("base", "tuned") if "tuned" in measured else None
        )

    def _require_readable(self, record: AntibodyRecord) -> None:
        if len(record.sequence_aa) > self.base.max_residues:
            raise SequenceError(
                f"record {record.sequence_id!r} has {len(record.sequence_aa)} residues; "
                f"{self.base.name} reads at most {self.base.max_residues}"
            )


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    base: str | None = None,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
) -> AntibodyModel:
    """A model from a run folder, a Hub repository, a catalogue alias or a plain model folder.

    Of a repository with hfbio.json only JSON, safetensors and vocabulary files are fetched, all
    from one commit; nothing in it is run.

    Args:
        name: what to load.
        revision: branch, tag or commit, for Hub repositories.
        base: where the base lies, for bundles made on a local folder; it must have the name that
            hfbio.json records.
        trust_remote_code: run model code from the Hub.
        device: where to put the weights.

    Raises:
        UnknownModel: nothing of that name.
        BundleError: hfbio.json is missing a field, or is not readable.
        AdapterMismatch: ``base`` is not the base the adapter was trained on.
        SettingError: a revision for what is not on the Hub, or a device that is not there.
    """
    folder = _find_bundle(str(name), revision)
    if folder is None:
        bare = load_base(str(name), revision=revision, trust_remote_code=trust_remote_code)
        return AntibodyModel(bare, _put(bare.model, device), None)
    manifest = read_manifest(folder)
    loaded = load_base(
        base or manifest.base,
        revision=None if base else manifest.base_revision,
        trust_remote_code=trust_remote_code,
    )
    if loaded.name != manifest.base:
        raise AdapterMismatch(f"{folder} was trained on {manifest.base}, not on {loaded.name}")
    tagged = add_tags(for_objective(loaded, manifest.objective["kind"]), manifest.tags)
    model = restore(tagged, folder)
    return AntibodyModel(tagged, _put(model, device), manifest, base)


def _find_bundle(name: str, revision: str | None) -> Path | None:
    """The folder, downloaded if need be, that holds hfbio.json; ``None`` if ``name`` is a base."""
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        if revision is not None:
            raise SettingError(f"{name} is a folder and has no revision {revision!r}")
        return folder
    if folder.is_dir() or find(name) or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    try:
        manifest = Path(hf_hub_download(name, MANIFEST, revision=revision))
    except OSError:  # a base has none; `load_base` tells of all other reasons
        return None
    # The cache keeps each file at snapshots/<commit>/: the branch may move between two calls.
    return Path(
        snapshot_download(
            name,
            revision=manifest.parent.name,
            allow_patterns=["*.json", "*.safetensors", "vocab.txt"],
            ignore_patterns=["*/*"],  # the merged model and the data
        )
    )


def _put(model: nn.Module, device: str | torch.device) -> nn.Module:
    try:
        return model.to(device)
    except (AssertionError, RuntimeError) as error:  # torch built without it, none there, full
        reason = str(error).partition("\n")[0]
        raise SettingError(f"device {str(device)!r} cannot be used: {reason}") from None
