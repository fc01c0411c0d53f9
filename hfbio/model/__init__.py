"""`hfbio.load` and what it gives: where base, bundle, samplers and scores meet."""

from hfbio.model.antibody import AntibodyModel
from hfbio.model.loading import load
from hfbio.model.optimize import Improved, Lead, Optimized
from hfbio.model.sampling import Designs

__all__ = ["AntibodyModel", "Designs", "Improved", "Lead", "Optimized", "load"]
