"""`hfbio.load` and what it gives: where base, bundle, samplers and scores meet."""

from hfbio.model.antibody import AntibodyModel, Designs
from hfbio.model.loading import load

__all__ = ["AntibodyModel", "Designs", "load"]
