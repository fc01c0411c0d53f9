"""ESM-2 without its token dropout."""

import pytest
import torch
from tiny import tiny_esm_files
from transformers import AutoModelForMaskedLM

from hfbio.models import (
    AdapterConfig,
    add_tags,
    attach,
    load_base,
    merge,
    restore,
    without_token_dropout,
)
from hfbio.models.verify import TRASTUZUMAB_VH
from hfbio.tokens import Tags

TAGS = Tags("prefix", {"locus": ("IGH",)}, (("IGH",),))


@pytest.fixture
def esm(tmp_path):
    """A function that loads the tiny ESM-2 afresh, always with the same weights."""
    folder = tmp_path / "esm"
    folder.mkdir()
    for name, content in tiny_esm_files().items():
        folder.joinpath(name).write_bytes(content)
    return lambda: load_base(str(folder), check_loss=False)


def encode(loaded):
    tokens = loaded.token_map
    return torch.tensor(
        [[tokens.start_id, *tokens.encode(TRASTUZUMAB_VH).tolist(), tokens.stop_id]]
    )


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def test_embeddings_no_longer_depend_on_how_much_is_masked(esm):
    loaded = esm()
    ids = encode(loaded)
    masked = ids.clone()
    masked[0, 2:-1] = loaded.token_map.mask_id  # residue 0 alone is shown
    ones = torch.ones_like(ids)

    def at_first_residue(row):
        with torch.no_grad():
            return loaded.model.esm.embeddings(input_ids=row, attention_mask=ones)[0, 1]

    ratio = (at_first_residue(masked) / at_first_residue(ids)).mean()
    assert ratio > 20  # the published model: 1 / (1 - 119/122)
    plain = without_token_dropout(loaded)
    torch.testing.assert_close(at_first_residue(masked), at_first_residue(ids))
    embedded = plain.model.esm.embeddings(input_ids=masked, attention_mask=ones)
    assert embedded[0, 2:-1].abs().max() == 0  # what the model saw in place of a mask


def test_the_mask_row_travels_with_the_adapter(esm, tmp_path):
    def prepare():
        return add_tags(without_token_dropout(esm()), TAGS)

    tagged = prepare()
    assert tagged.trained_rows == (tagged.token_map.mask_id, *tagged.tag_ids)
    ids = encode(tagged)
    ids[0, 5:60] = tagged.token_map.mask_id
    model = attach(tagged, AdapterConfig(r=4), rng=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * weight.requires_grad  # stands for training
    model.save_pretrained(tmp_path / "run")
    assert torch.equal(logits(restore(prepare(), tmp_path / "run"), ids), logits(model, ids))
    merge(model).save_pretrained(tmp_path / "merged")
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "merged").eval()
    residues = list(tagged.token_map.residue_ids)
    torch.testing.assert_close(
        logits(plain, ids)[..., residues], logits(model, ids)[..., residues], atol=1e-5, rtol=0
    )


def test_families_without_token_dropout_are_left_as_they_are():
    loaded = load_base("sapiens-vh")
    assert without_token_dropout(loaded) is loaded
