"""AntiBERTy as its Python package ships it. Reads files of the package, never imports it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from hfbio.errors import MissingExtra, UnknownModel

# What the checkpoint holds beside the language model: three classifiers, the pooler they read,
# and a buffer that transformers no longer saves.
_BESIDE: Final = frozenset(
    {
        "bert.embeddings.position_ids",
        *(
            f"{layer}.{kind}"
            for layer in ("bert.pooler.dense", "cls.species", "cls.chain", "cls.graft")
            for kind in ("weight", "bias")
        ),
    }
)


def model_folder() -> Path:
    """Where the installed package keeps config and weights.

    The package is located, not imported: importing it would run its code and replace the plain
    ``BertForMaskedLM`` by a class of its own.

    Raises:
        MissingExtra: antiberty is not installed.
        UnknownModel: the installed version does not carry its weights (1.0.0 downloads them).
    """
    spec = find_spec("antiberty")
    if spec is None or spec.origin is None:
        raise MissingExtra("antiberty")
    folder = Path(spec.origin).parent / "trained_models" / "AntiBERTy_md_smooth"
    if not folder.joinpath("pytorch_model.bin").is_file():
        raise UnknownModel(
            "the installed antiberty package holds no weights; pip install 'antiberty==0.1.3'"
        )
    return folder


def read_model(dtype: torch.dtype) -> tuple[BertForMaskedLM, dict[str, Any]]:
    """The plain language model and transformers' loading report.

    Tensors only are read: ``torch.load`` with ``weights_only=True``.

    Raises:
        MissingExtra: antiberty is not installed.
        UnknownModel: the checkpoint does not hold what version 0.1.3 holds.
    """
    file = model_folder() / "pytorch_model.bin"
    state = torch.load(file, map_location="cpu", weights_only=True)
    if absent := sorted(_BESIDE - set(state)):
        raise UnknownModel(f"{file} is not AntiBERTy 0.1.3: it lacks {', '.join(absent)}")
    return BertForMaskedLM.from_pretrained(
        None,
        config=BertConfig.from_pretrained(file.parent),
        state_dict={name: tensor for name, tensor in state.items() if name not in _BESIDE},
        dtype=dtype,
        output_loading_info=True,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """AntiBERTy's tokenizer, reading plain sequences without spaces.

    Rebuilt from the package's ``vocab.txt``: on transformers 5
    ``BertTokenizer(vocab_file=...)`` gives five tokens without a warning. Ids are the line
    numbers, as in the original; letters outside the 20 residues become ``[UNK]``, as there.
    """
    lines = model_folder().with_name("vocab.txt").read_text(encoding="utf-8").split()
    vocabulary = {token: i for i, token in enumerate(lines)}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\[[A-Z]+\]|."), "isolated")
    backend.decoder = decoders.Fuse()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
