"""Fixtures shared by the tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two OpenMP jobs on two cores stall each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hub.fixtures import hub_client, hub_server  # noqa: E402, F401
