"""Fixtures shared by the tests."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two OpenMP jobs on two cores stall each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hub.fixtures import hub_client, hub_server  # noqa: F401


@pytest.fixture(scope="session")
def sapiens():
    """The bundled Sapiens-VH as `hfbio.load` gives it. Shared: do not change it."""
    import hfbio

    return hfbio.load("sapiens-vh")
