"""Convert the published Sapiens weights to native transformers folders, with proof.

Sapiens (Prihoda et al. 2022) is a fairseq RoBERTa of 4 layers, published inside the wheel
`sapiens==1.0.5` under the MIT licence. fairseq no longer installs on a current Python, so this
recipe reads the two checkpoints without unpickling any code, renames every tensor, and refuses to
write a folder whose logits differ from a literal fairseq forward pass.

    python recipes/convert_sapiens.py                      # downloads the wheel with pip
    python recipes/convert_sapiens.py --wheel sapiens-1.0.5-py3-none-any.whl
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

WHEEL = "sapiens-1.0.5-py3-none-any.whl"
SHA256 = "af1a8d445e9d7ab9f5f04512cf325acdfd9dd0930eb957b63ec234df1f141a8b"
OUTPUT = Path(__file__).parents[1] / "hfbio" / "models" / "weights"
# fairseq's Dictionary puts its four special tokens first, then dict.txt, then the mask.
VOCABULARY = ["<s>", "<pad>", "</s>", "<unk>", *"ACDEFGHIKLMNPQRSTVWY", "<mask>"]
START, PAD, STOP, MASK = 0, 1, 2, 24
HEADS = 8
# The variable domains of trastuzumab (DrugBank DB00072).
KNOWN = {
    "vh": "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLR"
    "AEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS",
    "vl": "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYC"
    "QQHYTTPPTFGQGTKVEIK",
}
ENCODER = "decoder.sentence_encoder."
RENAMED = {  # fairseq 0.10 TransformerSentenceEncoder -> transformers RobertaForMaskedLM
    f"{ENCODER}embed_tokens": "roberta.embeddings.word_embeddings",
    f"{ENCODER}embed_positions": "roberta.embeddings.position_embeddings",
    f"{ENCODER}emb_layer_norm": "roberta.embeddings.LayerNorm",
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
    "decoder.lm_head.dense": "lm_head.dense",
    "decoder.lm_head.layer_norm": "lm_head.layer_norm",
    "decoder.lm_head": "lm_head",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--wheel", type=Path, help=f"a copy of {WHEEL}")
    arguments.add_argument("--output", type=Path, default=OUTPUT)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = zipfile.ZipFile(io.BytesIO(read_wheel(options.wheel, Path(scratch))))
        for chain in ("vh", "vl"):
            convert(wheel, chain, options.output / f"sapiens-{chain}")


def read_wheel(path: Path | None, scratch: Path) -> bytes:
    if path is None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(scratch), "sapiens==1.0.5"], check=True)
        path = scratch / WHEEL
    content = path.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise SystemExit(f"{path} has sha256 {digest}, expected {SHA256}")
    return content


def convert(wheel: zipfile.ZipFile, chain: str, folder: Path) -> None:
    # 1. Read the tensors. The only class allowed besides tensors is the plain Namespace.
    raw = io.BytesIO(wheel.read(f"sapiens/models/v1/checkpoint_{chain}.pt"))
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(raw, map_location="cpu", weights_only=True)
    source, settings = checkpoint["model"], checkpoint["args"]
    if (settings.activation_fn, settings.encoder_attention_heads) != ("gelu", HEADS):
        raise SystemExit("the checkpoint is not the published architecture")

    # 2. Rename every tensor; a key that is left over or missing stops the conversion.
    embedding = source[f"{ENCODER}embed_tokens.weight"]
    if not torch.equal(embedding, source["decoder.lm_head.weight"]):
        raise SystemExit("the output matrix is not tied to the embeddings")
    target = {rename(key): value for key, value in source.items()}
    target["lm_head.decoder.weight"] = target.pop("lm_head.weight")
    target["lm_head.decoder.bias"] = target["lm_head.bias"]
    # fairseq RoBERTa has no token types; one row of zeros adds nothing.
    target["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, embedding.shape[1])
    model = RobertaForMaskedLM(configure(len(source[f"{ENCODER}embed_positions.weight"])))
    model.load_state_dict(target, strict=True)
    model.eval()

    # 3. Prove it: same logits as fairseq's arithmetic, with padding, and a loss below guessing.
    ids = torch.tensor([[START, *map(VOCABULARY.index, KNOWN[chain]), STOP]])
    padded = torch.nn.functional.pad(ids, (0, 3), value=PAD)
    with torch.no_grad():
        ours = model(padded, attention_mask=padded.ne(PAD).long()).logits[:, : ids.shape[1]]
        difference = (ours - fairseq_logits(source, ids)).abs().max().item()
        loss = pseudo_loss(model, ids)
    print(f"sapiens-{chain}: largest logit difference {difference:.1e}; {loss:.4f} nats/residue")
    if difference > 1e-5 or loss > math.log(20):
        raise SystemExit("the converted model does not behave like Sapiens")

    # 4. Write the folder.
    model.save_pretrained(folder)
    folder.joinpath("model.safetensors").chmod(
        0o644
    )  # safetensors writes 0600, which a wheel keeps
    tokenizer().save_pretrained(folder)
    licence = wheel.read("sapiens-1.0.5.dist-info/LICENSE").decode()
    notice = f"These weights are a converted copy of part of sapiens 1.0.5:\n\n{licence.strip()}\n"
    folder.joinpath("NOTICE").write_text(notice, encoding="utf-8")
    folder.joinpath("README.md").write_text(card(chain, model, loss), encoding="utf-8")


def rename(key: str) -> str:
    name, _, kind = key.rpartition(".")  # kind: weight or bias
    layer = name.removeprefix(f"{ENCODER}layers.")
    if layer == name:
        return f"{RENAMED[name]}.{kind}"
    number, _, part = layer.partition(".")
    return f"roberta.encoder.layer.{number}.{RENAMED[part]}.{kind}"


def configure(n_positions: int) -> RobertaConfig:
    return RobertaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=HEADS,
        intermediate_size=256,
        hidden_act="gelu",
        max_position_embeddings=n_positions,  # fairseq counts positions from PAD + 1 = 2
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=START,
        pad_token_id=PAD,
        eos_token_id=STOP,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({t: i for i, t in enumerate(VOCABULARY)}, unk_token="<unk>"))
    # Sapiens itself reads X and * as <mask>. The other ambiguity codes become <unk> there, a row
    # that training never moved (in VH its norm equals that of <pad>), so they are masked as well.
    backend.normalizer = normalizers.Replace(Regex("[BJOUXZ*]"), "<mask>")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("<mask>|."), "isolated")
    backend.decoder = decoders.Fuse()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", STOP)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def fairseq_logits(source: dict[str, Tensor], ids: Tensor) -> Tensor:
    """``(1, L, V)`` logits by the arithmetic of fairseq 0.10, dropout off, no padding.

    Source: fairseq 0.10.2, `modules/transformer_sentence_encoder.py`,
    `modules/transformer_sentence_encoder_layer.py` (layer norm after each residual sum),
    `models/roberta/model.py` (`RobertaLMHead`).
    """

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, source[f"{name}.weight"], source[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], source[f"{name}.weight"], source[f"{name}.bias"], 1e-5)

    positions = torch.arange(ids.shape[1]) + PAD + 1
    x = source[f"{ENCODER}embed_tokens.weight"][ids[0]]
    x = norm(x + source[f"{ENCODER}embed_positions.weight"][positions], f"{ENCODER}emb_layer_norm")
    for layer in (f"{ENCODER}layers.{i}." for i in range(4)):
        query, key, value = (
            linear(x, f"{layer}self_attn.{p}_proj").unflatten(-1, (HEADS, -1)).transpose(0, 1)
            for p in "qkv"
        )  # each (heads, L, hidden / heads)
        weights = (query @ key.transpose(1, 2) * key.shape[-1] ** -0.5).softmax(dim=-1)
        mixed = linear((weights @ value).transpose(0, 1).flatten(1), f"{layer}self_attn.out_proj")
        x = norm(x + mixed, f"{layer}self_attn_layer_norm")
        hidden = linear(F.gelu(linear(x, f"{layer}fc1")), f"{layer}fc2")
        x = norm(x + hidden, f"{layer}final_layer_norm")
    x = norm(F.gelu(linear(x, "decoder.lm_head.dense")), "decoder.lm_head.layer_norm")
    return linear(x, "decoder.lm_head")[None]


def pseudo_loss(model: RobertaForMaskedLM, ids: Tensor) -> float:
    """Mean nats per residue when each residue is masked in turn (softmax over all tokens)."""
    at = torch.arange(1, ids.shape[1] - 1)
    masked = ids.repeat(len(at), 1)
    masked[torch.arange(len(at)), at] = MASK
    logits = model(masked).logits[torch.arange(len(at)), at]  # (residues, V)
    return F.cross_entropy(logits, ids[0, at]).item()


def card(chain: str, model: RobertaForMaskedLM, loss: float) -> str:
    name, loci = {"vh": ("heavy", "IGH"), "vl": ("light", "IGK and IGL")}[chain]
    rows = model.config.max_position_embeddings
    # Position rows 0 and 1 are never used (PAD + 1); start and stop take two more.
    longest = rows - PAD - 1 - 2
    return f"""---
license: mit
library_name: transformers
pipeline_tag: fill-mask
tags: [antibody, protein-language-model]
---

# sapiens-{chain}

A masked language model of human antibody {name} chain variable domains ({loci}): RoBERTa with
4 layers of width 128, {model.num_parameters():,} parameters, single chains of at most
{longest} residues.

Origin: the file `checkpoint_{chain}.pt` of the Python package `sapiens` 1.0.5, by Merck Sharp &
Dohme Corp. (<https://github.com/Merck/Sapiens>), MIT licence, text in `NOTICE`. Training data:
Observed Antibody Space, human {name} chains.

> Prihoda D, Maamary J, Waight A, Juan V, Fayadat-Dilman L, Svozil D, Bitton DA (2022). BioPhi: A
> platform for antibody design, humanization, and humanness evaluation based on natural antibody
> repertoires and deep learning. mAbs 14:1, 2020203. doi:10.1080/19420862.2021.2020203

## What was changed

- The tensors are renamed from fairseq's `RobertaModel` to `RobertaForMaskedLM`; their values are
  untouched. The optimizer state is dropped. One row of zeros stands for the token types that
  fairseq's RoBERTa does not have. Logits agree with fairseq's arithmetic to 1e-5.
- The tokenizer is new and reads plain sequences. `X` and `*` become `<mask>`, as in Sapiens. The
  codes B, J, O, U and Z become `<mask>` too; Sapiens reads them as `<unk>`, an untrained row.

## Worth knowing

- Masked one residue at a time, trastuzumab's {chain.upper()} costs {loss:.4f} nats per residue;
  guessing among 20 residues costs 2.9957.
- The last epochs of training replaced residues by random ones and showed no `<mask>` (settings in
  the checkpoint: `leave_unmasked_prob` 0.5, `random_token_prob` 0.5). It still fills masks, a
  skill of the earlier epochs.
- Recipe: `recipes/convert_sapiens.py` in the hfbio repository writes this folder.
"""


if __name__ == "__main__":
    main()
