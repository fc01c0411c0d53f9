"""The search for secrets finds paths of people wherever a cluster puts them, and nothing else."""

import json

import pytest

from hfbio.errors import SecretError
from hfbio.hub.secrets import require_no_secrets


def search(folder, text):
    (folder / "hfbio.json").write_text(json.dumps({"note": text}))
    require_no_secrets({"hfbio.json": folder / "hfbio.json"}, {})


@pytest.mark.parametrize(
    "path",
    [
        *("/home/ada/x", "/Users/ada", "/root/run", "/root", "file:///home/ada", "C:\\Users\\ada"),
        *("/mnt/home/ada", "/nfs/home/ada/x", "/gpfs/fs1/lab/home/ada", "/export/homes/ada"),
        *("/scratch/ada/run", "/gscratch/lab", "/lustre/scratch/ada", "/mnt/c/Users/ada"),
        *("/data/users/ada", "proteins:/nfs/home/ada/x", "a\n/scratch/ada", "x=/mnt/home/ada"),
    ],
)
def test_a_path_of_somebody_is_found(tmp_path, path):
    with pytest.raises(SecretError, match=r"hfbio\.json, line 1, holds a path of somebody's home"):
        search(tmp_path, f"read {path}")
    with pytest.raises(SecretError):
        search(tmp_path, path)


@pytest.mark.parametrize(
    "text",
    [
        *("merged/root", "merged/home/x", "user/scratch/x", "./home/x", "~/home/x", "and/or"),
        *("https://example.org/home/page", "http://home/page", "https://a.org:80/a-b/users/x"),
        *(
            "hf://datasets/home/users/x.parquet",
            "facebook/esm2_t6_8M_UR50D",
            "/rooted",
            "/homework",
        ),
        *("trained from scratch / home use", "the home/scratch/users folder", "/data/oas.parquet"),
    ],
)
def test_what_is_nobodys_home_passes(tmp_path, text):
    search(tmp_path, text)
    search(tmp_path, f"see {text}, there")
