"""A model ready to sample and score. Trains nothing, pushes nothing, and does not load itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hfbio.bundle import Manifest
from hfbio.data import Reject
from hfbio.data.pairs import pair
from hfbio.errors import SequenceError, SettingError
from hfbio.model import sampling, scores
from hfbio.model.embed import embed
from hfbio.model.evaluate import evaluate
from hfbio.model.infill import infill_request
from hfbio.model.optimize import Lead, Optimized, optimize
from hfbio.model.sampling import Designs
from hfbio.model.sift import sift
from hfbio.model.traces import Traces
from hfbio.models import LoadedBase
from hfbio.record import Antibody, AntibodyRecord
from hfbio.sample import GermlineWalk, Guide, NamedSampler, Request, Unmask, build
from hfbio.score.assess import Task, task_of
from hfbio.score.latent_map import LatentMap
from hfbio.score.likelihood import Likelihood, likelihood_of
from hfbio.score.scan import Scan
from hfbio.score.sketch import Sketch


class AntibodyModel:
    """A model with its tokenizer, conditions and defaults."""

    def __init__(
        self,
        base: LoadedBase,
        model: nn.Module,
        manifest: Manifest | None,
        load_untuned: Callable[[], LoadedBase] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Use `hfbio.load` instead.

        Args:
            base: with the tag tokens added.
            model: the network to run: ``base.model``, or the adapted one.
            manifest: of the bundle; ``None`` for a bare base.
            load_untuned: loads the base of a bundle afresh, to compare with; ``None`` where there
                is none: a bare base, or a tuned model whose base nobody else has.
            folder: the bundle; read when `sketch` or `latent` is asked for.
        """
        self.base = base
        self.model = model.eval()
        self.manifest = manifest
        self._load_untuned = load_untuned
        self._traces = Traces(folder, base.model)
        self.tags = manifest.tags if manifest else base.own_tags
        self.prompt = base.prompt(self.tags) if manifest else base.own_prompt

    def sampler(self, **settings: Any) -> NamedSampler:
        """The sampler this model was saved with, with ``settings`` in place of its own.

        A causal model has the sampler ``causal`` unless ``kind`` says otherwise. A sampler of
        another ``kind`` than the saved one starts from its own defaults.

        Raises:
            SettingError: an unknown sampler or setting, or a value out of range.
        """
        saved = dict(self.manifest.sampler) if self.manifest else {}
        given = {name: value for name, value in settings.items() if value is not None}
        saved_kind = saved.get("kind", "unmask")
        kind = given.get("kind", "causal" if self.base.family.causal else saved_kind)
        return build({**(saved if kind == saved_kind else {}), **given, "kind": kind})

    def blank_sampler(self, **settings: Any) -> NamedSampler:
        """`sampler`, or where that starts from a germline, what makes the same of a blank."""
        own = self.sampler(**settings)
        if isinstance(own, GermlineWalk):
            return Unmask(steps=own.steps, temperature=own.temperature, top_p=own.top_p)
        return own

    def sample(
        self,
        request: Request,
        *,
        sampler: NamedSampler | None = None,
        guide: Guide | None = None,
        reference: Sequence[AntibodyRecord] = (),
        progress: Callable[[int, int], None] | None = None,
        watch: Callable[[Any], None] | None = None,
    ) -> Designs:
        """Generate new chains.

        Draws are numbered from 0; draw ``i`` depends on the seed and ``i`` alone. With
        ``keep="valid"`` the first ``num`` draws that are valid and distinct are kept, out of at
        most 20 x ``num``; fewer is a shortfall that ``report`` shows and no error.

        Args:
            request: what to generate.
            sampler: how; the model's own if ``None``.
            guide: a score to steer by; kept designs then tell theirs.
            reference: chains to compare with, normally the training split, for novelty.
            progress: called with (kept, drawn) after each draw.
            watch: called with the state of a block after each step; `hfbio.sample.partial` makes
                text of it. Not called where one or two open residues are enumerated.

        Raises:
            SettingError: a condition, length, scaffold, sampler or second pass that this model
                cannot serve; or a guide that does not answer with numbers.
        """
        return sampling.sample(
            self,
            request,
            sampler or (self.blank_sampler() if request.germline is None else self.sampler()),
            guide=guide,
            reference=reference,
            progress=progress,
            watch=watch,
        )

    def infill(
        self, sequence: str, regions: str, lengths: Sequence[tuple[int, int]] = (), **settings: Any
    ) -> Designs:
        """Redesign regions of a chain: `infill_request`, then `sample`.

        Args:
            sequence: one variable domain.
            regions: such as ``cdr3`` or ``cdr1,26-33``.
            lengths: shortest and longest filling of each gap; as long as before if empty.
            **settings: ``request`` for `infill_request`, the rest for `sample`.
        """
        request = infill_request(sequence, regions, lengths, settings.pop("request", None))
        return self.sample(request, **settings)

    def optimize(self, lead: Lead, **settings: Any) -> Optimized:
        """Improve a lead by few substitutions; see `hfbio.model.optimize.optimize`.

        Raises:
            SettingError: see there; or a model of pairs.
        """
        if self.layout == "paired":
            raise SettingError(
                "a lead is one chain, and this is a model of pairs; use a model of single chains, "
                "or `sample` with a scaffold HEAVY:LIGHT"
            )
        return optimize(self.base, self.model, self.prompt, lead, **settings)

    def readable(
        self, records: Sequence[AntibodyRecord], source: str, *, region: str = "all"
    ) -> tuple[list[Antibody], list[Reject]]:
        """The chains this model was made for, and rejects for the others.

        For a model of pairs the chains are joined by cell, see `hfbio.data.pairs.pair`.

        `score` itself refuses only what is too long: a light chain on a heavy-chain model gets a
        number there, though not a useful one.

        Args:
            records: numbered chains.
            source: their file, for the rejects; ``line`` there is the place in ``records``.
            region: where a chain must have residues; a key of `hfbio.score.embed.POOLS`.
        """
        return sift(self, records, source, region)

    def score(
        self,
        records: Sequence[Antibody],
        *,
        batch_size: int = 64,
        scanned: Callable[[Scan], None] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Likelihood of numbered chains or pairs, one row each, in order.

        Of a masked model each residue is given all others (pseudo-log-likelihood), of a causal one
        those before it; or after it, where training had turned chains round.

        Args:
            records: numbered chains, or pairs.
            batch_size: rows of a network pass.
            scanned: called with the `Scan` of each chain before its row is yielded; the network
                does no more work for it.

        Yields:
            ``sequence_id``, ``locus``, ``likelihood`` (which of these), ``nats_per_residue``,
            ``perplexity``, and ``fwr1_nats_per_residue`` … for each region. Condition tags come
            from the record. The row of a pair is named after its cell, its locus is as in
            ``IGH:IGK``, and a region is that of both chains.

        Raises:
            SequenceError: a chain is not numbered, or longer than the model reads.
        """
        return scores.score(self, records, batch_size=batch_size, scanned=scanned)

    def scan(self, record: AntibodyRecord, *, batch_size: int = 64) -> Scan:
        """What the model says of all 20 residues at every place of one numbered chain.

        Of a pair `hfbio.model.scores.scan` gives one for each chain.

        Raises:
            SequenceError: the chain is not numbered, is longer than the model reads, or holds a
                letter that is not one of the 20 residues.
        """
        (found,) = scores.scan(self, record, batch_size=batch_size)
        return found

    def embed(
        self,
        records: Sequence[Antibody],
        *,
        layer: int = -1,
        region: str = "all",
        own_tags: bool = False,
        batch_size: int = 64,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """One vector for each numbered chain: hidden states averaged over the residues of a region.

        Condition tags are left open unless ``own_tags``: a vector made behind ``[IGHG]`` tells
        that the chain is an IgG whatever the model knows of it.

        Args:
            records: numbered chains, or pairs, of which both chains are averaged over.
            layer: 0 is the embedding, the last is what the head reads; -1 counts from the end.
            region: ``all``, ``cdrs``, or a region such as ``cdr3``.
            own_tags: show each chain behind the tags that its own fields call for.
            batch_size: chains per network pass; changes nothing but rounding.
            progress: called with the number of chains done after each pass.

        Returns:
            ``(n, hidden)`` float32 on the CPU, in order.

        Raises:
            DataError: there is no chain.
            SequenceError: a chain is not numbered, is longer than the model reads, or has no
                residue in the region.
            SettingError: no such layer or region.
        """
        return embed(
            self,
            records,
            layer=layer,
            region=region,
            own_tags=own_tags,
            batch_size=batch_size,
            progress=progress,
        )

    def untuned(self) -> AntibodyModel | None:
        """The base of this model, loaded afresh onto the same device; ``None`` for a base itself.

        ``None`` too for a tuned model whose base nobody else has.
        """
        if self._load_untuned is None:
            return None
        plain = self._load_untuned()
        return AntibodyModel(plain, plain.model.to(next(self.model.parameters()).device), None)

    def evaluate(
        self,
        records: Sequence[AntibodyRecord],
        *,
        train: Sequence[AntibodyRecord] = (),
        draws: int = 4,
        seed: int = 0,
        batch_size: int = 64,
    ) -> dict[str, Any]:
        """Held-out metrics of this model, beside its base where it has one to compare with.

        For a model of pairs the chains are joined by cell; ``left_out`` counts those in none.

        Args:
            records: numbered chains that training never saw.
            train: the training split; adds the counting baselines fitted on it.
            draws: masks per chain and share of masked residues.
            seed: of the masks.
            batch_size: chains per network pass.

        Returns:
            See `hfbio.score.summary.summarise`.

        Raises:
            DataError: there is no chain, or no pair.
            SequenceError: a chain is not numbered, or longer than the model reads.
        """
        return evaluate(self, records, train=train, draws=draws, seed=seed, batch_size=batch_size)

    @property
    def sketch(self) -> Sketch | None:
        """By which a design's novelty is estimated; `BundleError` if it holds something else."""
        return self._traces.sketch

    @property
    def latent(self) -> LatentMap | None:
        """Training chains on a plane, to place others on; `BundleError` likewise."""
        return self._traces.latent

    @property
    def task(self) -> Task:
        """What `evaluate` asks of it, by the objective it was trained with."""
        objective = self.manifest.objective if self.manifest else None
        return task_of(objective, causal=self.base.family.causal)

    @property
    def likelihood(self) -> Likelihood:
        """What `score` gives."""
        return likelihood_of(self.task)

    @property
    def layout(self) -> str:
        """``single``, or ``paired`` for a model that was trained on pairs."""
        return self.manifest.layout if self.manifest else "single"

    def paired(
        self, records: Sequence[AntibodyRecord]
    ) -> tuple[Sequence[Antibody], list[tuple[AntibodyRecord, str]]]:
        """What the model reads, and the chains that are in no pair with the reason."""
        return pair(records) if self.layout == "paired" else (records, [])

    def require_readable(self, record: Antibody) -> None:
        """Raise `SequenceError` for what is longer than the model reads."""
        n_residues = sum(len(chain.sequence_aa) for chain in record.chains)
        most = self.base.max_residues_of("single" if len(record.chains) == 1 else "paired")
        if n_residues > most:
            raise SequenceError(
                f"record {record.sequence_id!r} has {n_residues} residues; "
                f"{self.base.name} reads at most {most}"
            )
