"""`hfbio.load` and what it gives: where base, bundle, samplers and scores meet."""

from hfbio.model.antibody import AntibodyModel, Designs
from hfbio.model.loading import load
from hfbio.model.optimize import Improved, Lead, Optimized

__all__ = ["AntibodyModel", "Designs", "Improved", "Lead", "Optimized", "load"]
