"""Spaces that sample from a published model: made, updated, waited for, or started here.

With `hub` the only room that changes the Hub. The page itself is in the folder `space/`.
"""

from hfbio.space_repo.create import CreatedSpace, create_space
from hfbio.space_repo.launch import launch_space

__all__ = ["CreatedSpace", "create_space", "launch_space"]
