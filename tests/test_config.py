"""Settings of a run: from a recipe and flags, each one known and of its type."""

import pytest
import yaml

from hfbio.errors import SettingError
from hfbio.resources import folder
from hfbio.train.config import FinetuneConfig, changed_settings, read_config

SMALL = {"model": "sapiens-vh", "data": "table.parquet"}


@pytest.fixture
def recipe(tmp_path):
    """A function that writes a recipe of `SMALL` and the settings given."""

    def write(text="", **settings):
        path = tmp_path / "recipe.yaml"
        path.write_text(text or yaml.safe_dump({**SMALL, **settings}))
        return path

    return write


def test_a_recipe_sets_what_it_names_and_leaves_the_rest(recipe):
    config = read_config(
        recipe(learning_rate=0.003, lora_r=4, tags=["locus", "isotype"], max_steps=7)
    )
    assert (config.model, config.learning_rate, config.lora_r) == ("sapiens-vh", 0.003, 4)
    assert config.tags == ["locus", "isotype"]
    assert config.max_steps == 7
    assert config.tag_dropout == FinetuneConfig(**SMALL).tag_dropout


def test_flags_win_over_the_recipe_in_both_spellings(recipe):
    path = recipe(lora_r=4, learning_rate=0.1, tags=["locus"], model="antiberty")
    config = read_config(
        path, ["--lora_r", "8", "--learning_rate=3e-4", "--tags", "species", "v_family"]
    )
    assert (config.lora_r, config.learning_rate) == (8, 3e-4)
    assert config.tags == ["species", "v_family"]
    assert config.model == "antiberty"


def test_flags_alone_are_enough():
    config = read_config(None, ["--model", "sapiens-vl", "--data", "x.parquet"])
    assert (config.model, config.data) == ("sapiens-vl", "x.parquet")


def test_every_shipped_recipe_can_be_read():
    for path in folder("configs").glob("*.yaml"):
        assert read_config(path).model


def test_numbers_may_be_written_as_yaml_reads_them_or_as_text(recipe):
    # YAML 1.1 reads 3e-4 as a text, since it has no point.
    path = recipe("model: sapiens-vh\ndata: t\nlearning_rate: 3e-4\nseed: '7'\nlora_r: 12\n")
    config = read_config(path)
    assert (config.learning_rate, config.seed, config.lora_r) == (3e-4, 7, 12)


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("lora_rank", ""),
        ("learning_rat", "learning_rate"),
        ("tag", "tags"),
        ("max-steps", "max_steps"),
    ],
)
def test_an_unknown_setting_names_the_nearest_one(recipe, key, near):
    wanted = f"'{key}' is not a setting" + (f"; did you mean '{near}'" if near else "")
    with pytest.raises(SettingError, match=wanted):
        read_config(recipe(**{key: 1}))
    with pytest.raises(SettingError, match=f"the command line: {wanted}"):
        read_config(recipe(), [f"--{key}", "1"])
    with pytest.raises(SettingError, match=wanted):
        read_config(recipe(), [f"--{key}=1"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_r", 1.5),
        ("lora_r", "four"),
        ("max_steps", 10.5),
        ("learning_rate", "fast"),
        ("trust_remote_code", "perhaps"),
        ("seed", 0.5),
        ("lr_scheduler_type", "cosin"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_recipe_and_flag_alike(recipe, name, value):
    with pytest.raises(SettingError, match=rf"{name}|{value}"):
        read_config(recipe(**{name: value}))
    with pytest.raises(SettingError, match=rf"{name}|{value}"):
        read_config(recipe(), [f"--{name}", str(value)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "model is not set"),
        ({"data": ""}, "data is not set"),
        ({"tags": ["locus", "colour"]}, r"\['colour'\] are not among locus, species"),
        ({"tag_dropout": 1.0}, r"tag_dropout must be in \[0, 1\)"),
        ({"tag_dropout": -0.1}, r"tag_dropout must be in \[0, 1\)"),
        ({"tag_dropout": float("nan")}, r"tag_dropout must be in \[0, 1\)"),
        ({"eval_mask_draws": 0}, "eval_mask_draws must be >= 1"),
        ({"balance": "donor"}, "balance must be none or clone"),
        ({"remove_unused_columns": True}, "must stay off"),
        ({"fsdp": True, "fsdp_config": "gone.json"}, "gone.json"),
    ],
)
def test_a_value_out_of_range_is_refused(recipe, settings, message):
    with pytest.raises(SettingError, match=message):
        read_config(recipe(**settings))


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "", "a: [1\n", "1: 2\n", "\0"])
def test_a_recipe_that_is_no_mapping_of_settings_is_refused(recipe, tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"odd\.yaml"):
        read_config(path)


def test_yaml_builds_no_python_objects(recipe):
    path = recipe("model: !!python/object/apply:os.system ['true']\ndata: x\n")
    with pytest.raises(SettingError, match="cannot read the recipe"):
        read_config(path)


def test_a_stray_word_on_the_command_line_is_refused(recipe):
    with pytest.raises(SettingError, match="stray"):
        read_config(recipe(), ["stray"])


def test_nested_settings_come_as_yaml_or_json(recipe):
    asked = {"order": "entropy", "steps": 4}
    assert read_config(recipe(sampler_kwargs=asked)).sampler_kwargs == asked
    config = read_config(recipe(), ["--sampler_kwargs", '{"order": "entropy", "steps": 4}'])
    assert config.sampler_kwargs == asked


def test_changed_settings_are_those_that_were_set_without_secrets_and_places(recipe, tmp_path):
    config = read_config(
        recipe(
            lora_r=4,
            learning_rate=0.003,
            tags=["locus"],
            hub_token="hf_secret",
            run_name="mine",
            output_dir=str(tmp_path / "private"),
            data=str(tmp_path / "private.parquet"),
            max_steps=7,
            lora_alpha=32,  # its default
        )
    )
    changed = changed_settings(config)
    assert changed == {"lora_r": 4, "learning_rate": 0.003, "tags": ["locus"], "max_steps": 7}


def test_without_changes_there_are_no_changed_settings():
    assert changed_settings(FinetuneConfig(**SMALL)) == {}
