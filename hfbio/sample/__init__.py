"""Samplers: frozen settings that walk from an open sequence to a decided one."""

from hfbio.sample.draw import draw
from hfbio.sample.generate import generate
from hfbio.sample.state import Sampler, State, Template, begin
from hfbio.sample.unmask import Unmask

__all__ = ["Sampler", "State", "Template", "Unmask", "begin", "draw", "generate"]
