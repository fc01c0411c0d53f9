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


@pytest.fixture(scope="session")
def tuned_page(tmp_path_factory):
    """The page of a tuned Sapiens-VH with tags, base, sketch and map, served. Shared."""
    from pages import bundle_with_map, served

    import hfbio
    from page.studio import Studio

    with pytest.MonkeyPatch.context() as patch:
        # In place of the list of human 9-mers, which takes 0.75 GB and half a minute to read.
        patch.setattr("hfbio.model.describe.oasis_identity", lambda chains: [0.5] * len(chains))
        folder = bundle_with_map(tmp_path_factory.mktemp("page") / "bundle")
        with served(Studio(hfbio.load(folder), "user/model")) as page:
            yield page
