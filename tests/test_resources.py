"""Recipes and launcher files are found by name, wherever they are kept."""

import pytest
import yaml

from hfbio.errors import SettingError
from hfbio.resources import folder, recipe


def test_every_shipped_recipe_is_found_by_its_stem_and_is_a_mapping():
    files = sorted(folder("configs").glob("*.yaml"))
    assert "quickstart" in [file.stem for file in files]
    for file in files:
        assert recipe(file.stem) == file
        assert isinstance(yaml.safe_load(file.read_text()), dict)


def test_launcher_files_and_the_space_are_there():
    assert (folder("accelerate") / "ddp.yaml").is_file()
    assert folder("space").is_dir()


def test_a_path_is_taken_as_it_is(tmp_path):
    mine = tmp_path / "mine.yml"
    mine.write_text("model: x\n")
    assert recipe(str(mine)) == mine


def test_a_misspelt_recipe_names_the_nearest_and_all():
    with pytest.raises(
        SettingError, match=r"did you mean 'quickstart'\?; hfbio ships .*quickstart"
    ):
        recipe("quickstrat")
    with pytest.raises(SettingError, match=r"^no recipe 'zzz'; hfbio ships"):
        recipe("zzz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"no recipe file .*gone\.yaml"):
        recipe(str(tmp_path / "gone.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SettingError, match="no recipe file"):
        recipe(str(tmp_path / "folder.yaml"))


@pytest.mark.parametrize("name", ["", ".", "../quickstart", "configs/quickstart"])
def test_a_name_never_leads_to_another_folder(name):
    with pytest.raises(SettingError, match="no recipe"):
        recipe(name)
