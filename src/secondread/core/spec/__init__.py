"""The study file: one frozen, typed description of everything a study does. Unknown keys are refused."""

from secondread.core.spec.data import ClassText, External, Gather, Prepare
from secondread.core.spec.generate import Synthesize
from secondread.core.spec.judging import Evaluate, Explain, Export, Rule
from secondread.core.spec.sections import PartRef, Section, as_yaml, ref
from secondread.core.spec.study import Arm, Study
from secondread.core.spec.training import EarlyStop, Engine, Head, Normalise, Tracking, Train, Uncertain

__all__ = [
    "Arm", "ClassText", "EarlyStop", "Engine", "Evaluate", "Explain", "Export", "External", "Gather", "Head",
    "Normalise", "PartRef", "Prepare", "Rule", "Section", "Study", "Synthesize", "Tracking", "Train", "Uncertain",
    "as_yaml", "ref",
]  # fmt: skip
