"""Data sets on the Hub, read through the real client from the loopback Hub."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from antibodies import GLOBIN, HEAVY, KAPPA

from hfbio.data import read
from hfbio.errors import DataError

READ = """
import json, sys
from hfbio.data import read_numbered
from hfbio.errors import DataError
for spec in sys.argv[1:]:
    try:
        records, rejects = read_numbered(spec)
        print(json.dumps([[r.sequence_aa for r in records], [r.line for r in rejects]]))
    except DataError as fault:
        print(json.dumps(str(fault)))
"""


def parquet(**rows):
    buffer = io.BytesIO()
    pq.write_table(pa.table(rows), buffer)
    return buffer.getvalue()


def test_splits_files_and_revisions_of_a_data_set_are_read(hub_server, hub_client):
    files = {
        "data/train-00000-of-00001.parquet": parquet(sequence=[HEAVY, GLOBIN, None]),
        "data/test-00000-of-00001.parquet": parquet(sequence=[KAPPA]),
        "raw/pairs.csv": f"id,VH,VL\na,{HEAVY},{KAPPA}\n".encode(),
    }
    repo = hub_server.add_repo("dataset", "user/vh", files)
    first = repo.at("main").oid
    changed = {"data/train-00000-of-00001.parquet": parquet(sequence=[KAPPA])}
    hub_server.commit("dataset", "user/vh", changed)
    specs = [
        "hf://datasets/user/vh",
        f"hf://datasets/user/vh@{first}",
        "hf://datasets/user/vh/test",
        "hf://datasets/user/vh/raw/pairs.csv",
        "hf://datasets/user/vh/validation",
        "hf://datasets/user/nothing",
    ]
    lines = [json.loads(line) for line in hub_client(READ, *specs).splitlines()]
    assert lines[0] == [[KAPPA], []]
    assert lines[1] == [[HEAVY], [2, 3]]  # pinned: what the revision held
    assert lines[2] == [[KAPPA], []]
    assert lines[3] == [[HEAVY, KAPPA], []]
    assert "no split 'validation'; it has: train, test" in lines[4]
    assert "hf://datasets/user/nothing: cannot be loaded" in lines[5]


@pytest.mark.parametrize("spec", ["hf://user/vh", "hf://datasets/vh", "hf://datasets//x"])
def test_a_misspelt_data_set_is_told_the_spelling(spec):
    with pytest.raises(DataError, match="hf://datasets/USER/NAME"):
        read(spec)
