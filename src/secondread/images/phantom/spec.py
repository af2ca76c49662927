"""What phantom is asked for: presets, and every knob in one frozen dataclass."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from secondread.core.errors import WrongRequest

FORMATS = ("folder", "chexpert", "nih", "radiography", "kermany", "npz", "dicom")
SITE_NAMES = ("A", "B", "C")
SMALLEST, LARGEST = 28, 1024


@dataclass(frozen=True)
class Preset:
    """A task: its classes (one of them per image) or its observations (any number per image), with their shares."""

    name: str
    modality: str  # CXR or MRI
    shares: Mapping[str, float]
    multilabel: bool
    child: bool
    own_site: Mapping[str, str]  # the site that confounding ties a class to
    formats: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shares)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="cxr-binary",
            modality="CXR",
            shares={"NORMAL": 0.25, "PNEUMONIA": 0.75},
            multilabel=False,
            child=True,
            own_site={"NORMAL": "A", "PNEUMONIA": "B"},
            formats=("folder", "chexpert", "nih", "kermany", "npz", "dicom"),
        ),
        Preset(
            name="cxr-3class",
            modality="CXR",
            shares={"Normal": 0.65, "Viral Pneumonia": 0.12, "COVID": 0.23},
            multilabel=False,
            child=False,
            own_site={"Normal": "A", "Viral Pneumonia": "C", "COVID": "B"},
            formats=("folder", "radiography", "npz", "dicom"),
        ),
        Preset(
            name="cxr-multilabel",
            modality="CXR",
            shares={
                "Cardiomegaly": 0.18,
                "Lung Lesion": 0.16,
                "Edema": 0.16,
                "Consolidation": 0.18,
                "Pneumothorax": 0.14,
                "Pleural Effusion": 0.20,
            },
            multilabel=True,
            child=False,
            own_site={},
            formats=("folder", "chexpert", "nih", "npz", "dicom"),
        ),
        Preset(
            name="mri-binary",
            modality="MRI",
            shares={"no": 0.4, "yes": 0.6},
            multilabel=False,
            child=False,
            own_site={"no": "A", "yes": "B"},
            formats=("folder", "npz", "dicom"),
        ),
    )
}


@dataclass(frozen=True)
class PhantomSpec:
    """One phantom data set. The same spec gives the same images; a larger `n` begins with the images of a smaller.

    preset: cxr-binary | cxr-3class | cxr-multilabel | mri-binary.
    n: number of images, defects not counted.
    seed: of every random draw.
    size: side of the square images in pixels, 28 to 1024.
    imbalance: share of each class (scaled to sum to 1), or prevalence of each observation; None is the preset's.
    contrast: multiplier of the findings' amplitudes; 1 is the measured difficulty, 0 makes findings invisible.
    confounding: probability in [0, 1] that the site follows from the true label instead of from chance.
    label_noise: probability in [0, 1] that a recorded label is wrong.
    uncertain: cxr-multilabel: how often a barely visible finding is recorded as uncertain (−1); falls with severity.
    unmentioned: cxr-multilabel: share of absent findings that are left empty instead of recorded as 0.
    visits: most images of one patient; every patient has 1 to `visits`.
    sites: number of sites, 1 to 3 (A 50 %, B 25 % with a burnt-in marker, C 25 %).
    jitter: multiplier of the positioning differences between visits.
    stable_findings: keep place and severity of the findings over a patient's visits, which makes patient leaks visible.
    split_leak: share of patients whose visits are spread over the official splits of trees that have them.
    defects: True for about 2 % of each kind that the format can hold, or a mapping of kind to count; False for none.
    """

    preset: str
    n: int
    seed: int = 0
    size: int = 128
    imbalance: Mapping[str, float] | None = None
    contrast: float = 1.0
    confounding: float = 0.0
    label_noise: float = 0.0
    uncertain: float = 0.5
    unmentioned: float = 0.6
    visits: int = 3
    sites: int = 3
    jitter: float = 1.0
    stable_findings: bool = False
    split_leak: float = 0.0
    defects: bool | Mapping[str, int] = False

    def __post_init__(self) -> None:
        """Raises `WrongRequest` naming the value that is out of its range."""
        if self.preset not in PRESETS:
            raise WrongRequest(f"phantom: no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        _within("n", self.n, 1, 10_000_000, whole=True)
        _within("seed", self.seed, 0, 2**63 - 1, whole=True)
        _within("size", self.size, SMALLEST, LARGEST, whole=True)
        _within("visits", self.visits, 1, 1000, whole=True)
        _within("sites", self.sites, 1, len(SITE_NAMES), whole=True)
        for name in ("contrast", "jitter"):
            _within(name, getattr(self, name), 0.0, 5.0)
        for name in ("confounding", "label_noise", "uncertain", "unmentioned", "split_leak"):
            _within(name, getattr(self, name), 0.0, 1.0)
        if self.confounding and self.sites < 2:
            raise WrongRequest("phantom: confounding needs at least 2 sites")
        _check_imbalance(self.task, self.imbalance)
        if not isinstance(self.defects, bool):
            for kind, count in self.defects.items():
                _within(f"defects.{kind}", count, 0, self.n, whole=True)

    @property
    def root(self) -> int:
        """The seed of every stream: patients of one preset are not those of another."""
        return int.from_bytes(hashlib.sha256(f"{self.preset} {self.seed}".encode()).digest()[:6], "little")

    @property
    def task(self) -> Preset:
        return PRESETS[self.preset]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each class, summing to 1, or prevalence of each observation."""
        shares = {**self.task.shares, **(self.imbalance or {})}
        total = 1.0 if self.task.multilabel else sum(shares.values())
        return {name: value / total for name, value in shares.items()}

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        for name in ("imbalance", "defects"):
            if isinstance(plain[name], Mapping):
                plain[name] = dict(plain[name])
        return plain


def _within(name: str, value: object, low: float, high: float, whole: bool = False) -> None:
    right = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, right) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise WrongRequest(f"phantom: {name} is {value!r}; it must be {kind} from {low:g} to {high:g}")


def _check_imbalance(task: Preset, imbalance: Mapping[str, float] | None) -> None:
    for name, share in (imbalance or {}).items():
        if name not in task.shares:
            raise WrongRequest(f"phantom: {task.name} has no class {name!r}; it has {', '.join(task.names)}")
        _within(f"imbalance.{name}", share, 0.0, 1.0 if task.multilabel else 1e9)
    if not task.multilabel and imbalance and sum({**task.shares, **imbalance}.values()) <= 0:
        raise WrongRequest("phantom: imbalance leaves no class with a share above 0")
