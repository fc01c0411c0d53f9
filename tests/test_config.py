"""Settings of a run: from a recipe and flags, each one known and of its type."""

import pytest
import yaml

from hfbio.bundle import WITHHELD
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
        config = read_config(path)
        assert config.model or config.architecture


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"push_to_hub": True}, "push_to_hub needs a place .* --hub_model_id USER/REPO"),
        ({"hub_model_id": "run"}, "hub_model_id must be USER/REPO: .* got 'run'"),
        ({"hub_model_id": "me/my/run"}, "hub_model_id must be USER/REPO: .* got 'me/my/run'"),
        ({"hub_model_id": "/run"}, "hub_model_id must be USER/REPO: .* got '/run'"),
        (
            {"hub_strategy": "always"},
            "end.*, .*every_save.*, .*checkpoint.*, .*all_checkpoints",
        ),
    ],
)
def test_a_push_that_would_go_nowhere_is_refused(recipe, settings, message):
    with pytest.raises(SettingError, match=message):
        read_config(recipe(**settings))
    with pytest.raises(SettingError, match=message):
        read_config(recipe(), [f"--{name}={value}" for name, value in settings.items()])
    with pytest.raises(SettingError, match=message):
        FinetuneConfig(**SMALL, **settings)


def test_a_push_is_private_unless_told_otherwise_and_by_transformers_strategies(recipe):
    asked = {"push_to_hub": True, "hub_model_id": "me/run"}
    config = read_config(recipe(**asked))
    assert (config.hub_private_repo, config.hub_strategy) == (None, "every_save")
    for strategy in ("end", "every_save", "checkpoint", "all_checkpoints"):
        assert read_config(recipe(**asked, hub_strategy=strategy)).hub_strategy == strategy
    assert read_config(recipe(**asked, hub_private_repo=False)).hub_private_repo is False
    assert read_config(recipe(**asked), ["--hub_private_repo=false"]).hub_private_repo is False


SECRET = "hf_" + "aB3" * 11


@pytest.mark.parametrize(
    "words",
    [
        ["--hub_token", SECRET],
        [f"--hub_token={SECRET}"],
        ["--hub-token", SECRET],
        ["--hub_token", "another-kind-of-token", "extra"],
        [f"-hub_token={SECRET}"],
        ["hub_token", SECRET],
        [f"--token={SECRET}"],
        ["--seed", SECRET],
        ["--hub_model_id", SECRET],
        ["--hub_strategy", SECRET],
        ["--tags", SECRET],
    ],
)
def test_a_token_on_the_command_line_is_refused_and_not_repeated(recipe, words):
    with pytest.raises(SettingError) as caught:
        read_config(recipe(), words)
    assert SECRET[:8] not in str(caught.value)
    assert "another-kind" not in str(caught.value)
    if words[0].startswith(("--hub_token", "--hub-token")):
        assert "`hf auth login`" in str(caught.value)
        assert "HF_TOKEN" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        f"hub_token: {SECRET}",
        "hub_token: another-kind-of-token",
        f"hub_token: [{SECRET}",
        f"hub_token: '{SECRET}",
        f"hub_token: another-kind-of-token: {SECRET}",
        f"token: {SECRET}",
        f"{SECRET}: hub_token",
        f"hub_token: !{SECRET} x",
        f"seed: {SECRET}",
    ],
)
def test_a_token_in_a_recipe_is_refused_and_not_repeated(recipe, line):
    with pytest.raises(SettingError) as caught:
        read_config(recipe(f"{line}\nmodel: sapiens-vh\ndata: x\n"))
    assert SECRET[3:9] not in str(caught.value)
    assert "another-kind" not in str(caught.value)


def test_a_recipe_without_a_token_may_say_so(recipe):
    assert read_config(recipe(hub_token=None)).hub_token is None


def test_settings_show_no_token_however_it_came_in():
    with pytest.raises(SettingError, match="hf auth login"):
        FinetuneConfig(**SMALL, hub_token=SECRET)
    config = FinetuneConfig(**SMALL)
    config.set_push_to_hub("me/run", token=SECRET)
    for text in (repr(config), str(config), config.to_json_string()):
        assert SECRET not in text
        assert "me/run" in text


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


def test_changed_settings_are_those_that_were_set_without_places(recipe, tmp_path):
    config = read_config(
        recipe(
            lora_r=4,
            learning_rate=0.003,
            tags=["locus"],
            push_to_hub=True,
            hub_model_id="secret-project/run",
            hub_private_repo=False,
            hub_strategy="end",
            run_name="mine",
            output_dir=str(tmp_path / "private"),
            data=str(tmp_path / "private.parquet"),
            max_steps=7,
            lora_alpha=32,  # its default
        )
    )
    changed = changed_settings(config)
    assert changed == {"lora_r": 4, "learning_rate": 0.003, "tags": ["locus"], "max_steps": 7}


def test_changed_settings_name_no_file_project_or_account(recipe):
    config = read_config(
        recipe(
            project="secret-project",
            trackio_space_id="secret/space",
            trackio_bucket_id="secret/bucket",
            lr_scheduler_kwargs={"/nfs/secret": 1, "rates": [0.5, "https://secret.example.org"]},
            optim_args="file=~/secret",
            lora_target_modules=r".*encoder\.layer\..*(query|key)",
            max_steps=7,
        )
    )
    # As they were asked for; the files would have to be there, and deepspeed installed.
    config._asked |= {"deepspeed": "secret.json", "fsdp_config": "configs/secret.json"}
    config._asked["accelerator_config"] = {"split_batches": True, "x": "/home/secret/a.json"}
    assert changed_settings(config) == {
        "accelerator_config": {"split_batches": True, "x": WITHHELD},
        "lr_scheduler_kwargs": {f"1: {WITHHELD}": 1, "rates": [0.5, WITHHELD]},
        "optim_args": WITHHELD,
        "lora_target_modules": r".*encoder\.layer\..*(query|key)",
        "max_steps": 7,
        "deepspeed": WITHHELD,
        "fsdp_config": WITHHELD,
    }


def test_sources_keep_their_weights_and_their_names_on_the_hub(recipe):
    names = ("proteins:example:HumanSwissProt", "simulate:human:IGH:30", "hf://datasets/a/b.csv")
    sources = {**dict.fromkeys(names, 0.25), "/home/secret/oas.csv": 0.5}
    given = {"architecture": "esm", "method": "full", "sources": sources}
    config = read_config(recipe(yaml.safe_dump(given, sort_keys=False)))
    assert changed_settings(config)["sources"] == {
        **dict.fromkeys(names, 0.25),
        f"4: {WITHHELD}": 0.5,
    }


def test_without_changes_there_are_no_changed_settings():
    assert changed_settings(FinetuneConfig(**SMALL)) == {}
