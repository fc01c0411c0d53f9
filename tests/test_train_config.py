"""Settings: where they come from, which are refused, what is told of them."""

import pytest

from hfbio.errors import SettingError
from hfbio.train import FinetuneConfig, read_config
from hfbio.train.config import changed_settings


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: sapiens-vh\ndata: chains.csv\nlearning_rate: 1.0e-3\ntags: [locus]\n")
    return path


def test_flags_win_over_the_recipe(recipe):
    config = read_config(recipe, ["--learning_rate=2e-3", "--tags", "isotype", "species"])
    assert config.learning_rate == 2e-3
    assert config.tags == ["isotype", "species"]
    assert config.model == "sapiens-vh"


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--learning_rat=1", "the command line: 'learning_rat' is not a setting; did you mean"),
        ("--max_steps=many", "invalid int value: 'many'"),
        ("--tag_dropout=1", r"tag_dropout must be in \[0, 1\), got 1.0"),
        ("--tags=weight", "tags .*weight.* are not among locus"),
        ("--balance=size", "balance must be none or clone, got 'size'"),
        ("--remove_unused_columns=true", "must stay off"),
        ("--logging_steps=0", "requires non-zero --logging_steps"),
    ],
)
def test_a_wrong_flag_is_told_with_what_would_be_right(recipe, flag, reason):
    with pytest.raises(SettingError, match=reason):
        read_config(recipe, [flag])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("modle: sapiens-vh", "'modle' is not a setting; did you mean 'model'"),
        ("- model", "must hold `setting: value` lines"),
        ("model: [", "cannot read the recipe"),
        ("data: chains.csv", "model is not set"),
        ("model: sapiens-vh\nmax_steps: 1.5\ndata: x", "invalid int value"),
    ],
)
def test_a_wrong_recipe_is_told_with_what_would_be_right(tmp_path, content, reason):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(SettingError, match=reason):
        read_config(path)


def test_a_machine_without_accelerator_needs_no_flag(recipe, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert read_config(recipe).use_cpu


def test_the_launcher_decides_on_a_machine_with_an_accelerator(recipe, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    assert not read_config(recipe).use_cpu
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")  # accelerate launch --cpu
    assert read_config(recipe).use_cpu


def test_what_was_changed_is_what_was_given(recipe):
    flags = ["--hub_model_id=me/run", "--output_dir=/home/me/run", "--run_name=me", "--bf16=false"]
    changed = changed_settings(read_config(recipe, flags))
    assert changed == {"learning_rate": 1e-3, "tags": ["locus"]}
    assert changed_settings(FinetuneConfig(model="a", data="b", lora_r=4)) == {"lora_r": 4}


def test_telling_the_settings_leaves_accelerate_alone(recipe):
    from accelerate.state import PartialState

    config = read_config(recipe)
    state = dict(PartialState._shared_state)
    changed_settings(config)
    assert dict(PartialState._shared_state) == state
