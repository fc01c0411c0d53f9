"""What hfbio knows about architectures and named bases. Loads nothing; see `hfbio.models.load`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hfbio.record import Locus

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Position = Literal["absolute", "rotary"]

# Every linear layer of a BERT-shaped encoder, and none of the language-model head. peft matches
# the whole module name, whatever wraps the encoder (`bert.`, `esm.`, `roberta.`).
_BERT_LINEARS: Final = (
    r".*encoder\.layer\.\d+\."
    r"(attention\.self\.(query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)"
)
_MASKED: Final = ("mlm", "diffusion", "germline")
_CAUSAL: Final = ("clm", "infill")


@dataclass(frozen=True)
class Family:
    """One architecture: everything that differs between models and is not in their config."""

    model_type: str  # `model_type` of config.json
    auto_class: str  # class of transformers that loads it with its language-model head
    position: Position  # where config.json has no `position_embedding_type` of its own
    objectives: tuple[str, ...]  # kinds of objective it can be trained with
    lora_targets: str  # regex that matches the whole name of each linear layer of the encoder
    word_embeddings: str  # last part of the name of the token embedding module
    counts_from_pad: bool  # positions start at pad id + 1 (fairseq's rule), not at 0
    absent: tuple[str, ...] = ()  # regexes of weights a checkpoint may lack: unused by the LM
    surplus: tuple[str, ...] = ()  # regexes of weights a checkpoint may hold beyond the LM
    loose_bias: str = ""  # name of an output bias that the output layer does not own
    # Tokens between heavy and light chain; () where light follows heavy, None: no pairs published.
    separator: tuple[str, ...] | None = None

    @property
    def causal(self) -> bool:
        """Each position sees those before it alone, and tells of the next."""
        return self.auto_class == "AutoModelForCausalLM"

    def position_of(self, config: PretrainedConfig) -> Position:
        """How this very model encodes positions: ``absolute`` or ``rotary``."""
        return getattr(config, "position_embedding_type", None) or self.position

    def max_residues(self, config: PretrainedConfig) -> int:
        """The longest chain the model was built for, start and stop tokens set aside.

        Rows of the position table, less the rows that no token reaches, less two. For rotary
        models this is the length seen in training (ESM-2: 1,022), which nothing enforces.
        """
        unused = config.pad_token_id + 1 if self.counts_from_pad else 0
        return config.max_position_embeddings - unused - 2


@dataclass(frozen=True)
class Base:
    """One named model that adapters can be trained on."""

    alias: str
    model_type: str  # key of `FAMILIES`
    source: Literal["bundled", "package", "hub"]
    location: str  # folder in hfbio/models/weights, an extra of hfbio, or a Hub id
    licence: str  # SPDX identifier of the weights
    parameters: int
    loci: tuple[Locus, ...]  # chains seen in training; empty for a model of all proteins
    citation: str
    revision: str | None = None  # commit on the Hub

    @property
    def reference(self) -> str:
        """The name that goes into adapters: the Hub id if there is one, else the alias."""
        return self.location if self.source == "hub" else self.alias


FAMILIES: Final = {
    family.model_type: family
    for family in (
        Family(
            model_type="esm",
            auto_class="AutoModelForMaskedLM",
            position="rotary",
            objectives=_MASKED,
            lora_targets=_BERT_LINEARS,
            word_embeddings="word_embeddings",
            counts_from_pad=True,
            absent=(r"esm\.contact_head\..*",),  # reads attention maps, not part of the LM
            surplus=(r"esm\.embeddings\.position_embeddings\.weight",),  # rotary: never read
            loose_bias="lm_head.bias",
            # ft-ESM: Burbach and Briney 2024, Patterns 5:100967, and its published training data.
            separator=("<cls>", "<cls>"),
        ),
        Family(
            model_type="bert",
            auto_class="AutoModelForMaskedLM",
            position="absolute",
            objectives=_MASKED,
            lora_targets=_BERT_LINEARS,
            word_embeddings="word_embeddings",
            counts_from_pad=False,
            surplus=(r"bert\.pooler\..*", r"cls\.seq_relationship\..*"),  # next-sentence task
            separator=("[SEP]",),  # IgBert: Kenlay et al. 2024, arXiv:2403.17889
        ),
        Family(
            model_type="roberta",
            auto_class="AutoModelForMaskedLM",
            position="absolute",
            objectives=_MASKED,
            lora_targets=_BERT_LINEARS,
            word_embeddings="word_embeddings",
            counts_from_pad=True,
            surplus=(r"roberta\.pooler\..*",),
        ),
        Family(
            model_type="llama",
            auto_class="AutoModelForCausalLM",
            position="rotary",
            objectives=_CAUSAL,
            lora_targets=(
                r".*layers\.\d+\."
                r"(self_attn\.(q_proj|k_proj|v_proj|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"
            ),
            word_embeddings="embed_tokens",
            counts_from_pad=False,
            # hfbio's own choice: of the ESM-2 vocabulary, which its models take over, "." is in no
            # chain. The separator of infilling means another thing and is another token.
            separator=(".",),
        ),
        Family(
            model_type="gpt_neox",
            auto_class="AutoModelForCausalLM",
            position="rotary",
            objectives=_CAUSAL,
            lora_targets=(
                r".*layers\.\d+\."
                r"(attention\.(query_key_value|dense)|mlp\.(dense_h_to_4h|dense_4h_to_h))"
            ),
            word_embeddings="embed_in",
            counts_from_pad=False,
            # p-IgGen: the light chain follows at once (Turnbull et al. 2024, Bioinformatics
            # 40:btae659; its code cuts a generated pair at the length of the given heavy chain).
            separator=(),
        ),
    )
}
"""Architectures by ``model_type``."""

_PRIHODA: Final = "Prihoda et al. 2022, mAbs 14:2020203, doi:10.1080/19420862.2021.2020203"
_LIN: Final = "Lin et al. 2023, Science 379:1123-1130, doi:10.1126/science.ade2574"
_RUFFOLO: Final = "Ruffolo, Gray and Sulam 2021, arXiv:2112.07782"
_KENLAY: Final = "Kenlay et al. 2024, arXiv:2403.17889"
_OWN: Final = "hfbio, recipes/configs and recipes/RESULTS.md"
_ALL_LOCI: Final = (Locus.IGH, Locus.IGK, Locus.IGL)


def _esm2(alias: str, name: str, parameters: int, revision: str) -> Base:
    return Base(
        alias=alias,
        model_type="esm",
        source="hub",
        location=f"facebook/{name}",
        licence="MIT",
        parameters=parameters,
        loci=(),
        citation=_LIN,
        revision=revision,
    )


# Licences are those of the package metadata (Sapiens, AntiBERTy) and of the model pages on the
# Hub. Parameters are counted on the language model as loaded, tied matrices once.
BASES: Final = {
    base.alias: base
    for base in (
        Base(
            alias="sapiens-vh",
            model_type="roberta",
            source="bundled",
            location="sapiens-vh",
            licence="MIT",
            parameters=568_985,
            loci=(Locus.IGH,),
            citation=_PRIHODA,
        ),
        Base(
            alias="sapiens-vl",
            model_type="roberta",
            source="bundled",
            location="sapiens-vl",
            licence="MIT",
            parameters=566_937,
            loci=(Locus.IGK, Locus.IGL),
            citation=_PRIHODA,
        ),
        Base(
            alias="hfbio-mini",
            model_type="esm",
            source="bundled",
            location="hfbio-mini",
            licence="Apache-2.0",
            parameters=3_236_410,
            loci=_ALL_LOCI,
            citation=_OWN,
        ),
        Base(
            alias="hfbio-mini-clm",
            model_type="llama",
            source="bundled",
            location="hfbio-mini-clm",
            licence="Apache-2.0",
            parameters=3_174_912,
            loci=_ALL_LOCI,
            citation=_OWN,
        ),
        Base(
            alias="antiberty",
            model_type="bert",
            source="package",
            location="antiberty",
            licence="MIT",
            parameters=25_759_769,
            loci=_ALL_LOCI,
            citation=_RUFFOLO,
        ),
        _esm2("esm2-8m", "esm2_t6_8M_UR50D", 7_512_474, "c731040fcd8d73dceaa04b0a8e6329b345b0f5df"),
        _esm2(
            "esm2-35m", "esm2_t12_35M_UR50D", 33_501_394, "6fbf070e65b0b7291e7bbcd451118c216cff79d8"
        ),
        _esm2(
            "esm2-150m",
            "esm2_t30_150M_UR50D",
            148_140_154,
            "a695f6045e2e32885fa60af20c13cb35398ce30c",
        ),
        _esm2(
            "esm2-650m",
            "esm2_t33_650M_UR50D",
            651_043_254,
            "08e4846e537177426273712802403f7ba8261b6c",
        ),
        Base(
            alias="igbert",
            model_type="bert",
            source="hub",
            location="Exscientia/IgBert",
            licence="MIT",
            parameters=419_933_214,
            loci=_ALL_LOCI,
            citation=_KENLAY,
            revision="81a4abb8a4dac5cdcbefc28e5b331a82224c485d",
        ),
    )
}
"""Named bases by alias."""


def find(name: str) -> Base | None:
    """The catalogue entry called ``name``, by alias or Hub id; ``None`` for any other model."""
    return BASES.get(name) or next((b for b in BASES.values() if b.reference == name), None)


def table() -> Iterator[dict[str, str]]:
    """One row a base, ready to print: every value is text."""
    for base in BASES.values():
        yield {
            "name": base.alias,
            "architecture": base.model_type,
            "parameters": f"{base.parameters / 1e6:.1f} M",
            "chains": ", ".join(base.loci) or "any protein",
            "licence": base.licence,
            "objectives": ", ".join(FAMILIES[base.model_type].objectives),
            "needs": {
                "bundled": "nothing",
                "package": f"hfbio[{base.location}]",
                "hub": f"download of {base.location}",
            }[base.source],
            "citation": base.citation,
        }
