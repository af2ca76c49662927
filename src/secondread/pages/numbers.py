"""Numbers as a reader sees them. Each keeps its exact value, so that a page can be traced back to its table."""

from __future__ import annotations

import math
from dataclasses import dataclass

METRIC_TITLES = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "precision": "Precision (PPV)",
    "recall": "Sensitivity (recall)", "specificity": "Specificity", "f1": "F1", "auroc": "AUROC",
    "average_precision": "Average precision", "mcc": "MCC", "log_loss": "Log loss", "brier": "Brier score",
    "ece": "ECE", "exact_match": "Exact match", "hamming": "Hamming loss", "fpr": "False-positive rate",
    "fnr": "False-negative rate", "expected_cost": "Expected cost",
}  # fmt: skip
MISSING = "–"


def metric_title(name: str) -> str:
    """The metric's name in a heading."""
    return METRIC_TITLES.get(name, name.replace("_", " "))


def metric_word(name: str) -> str:
    """The metric's name inside a sentence: abbreviations stay, words are not capitalised."""
    title = metric_title(name).split(" (")[0]
    return title if title.isupper() or title[1:2].isupper() or title == "F1" else title[0].lower() + title[1:]


@dataclass(frozen=True)
class Number:
    """A value of a results table and how it is shown."""

    value: float
    digits: int = 3
    signed: bool = False
    kind: str = "plain"
    """plain, count or p."""

    @property
    def text(self) -> str:
        return shown(self.value, self.digits, signed=self.signed, kind=self.kind)

    @property
    def exact(self) -> str:
        return repr(float(self.value))


def count(value: float) -> Number:
    return Number(float(value), 0, kind="count")


def shown(value: float, digits: int = 3, *, signed: bool = False, kind: str = "plain") -> str:
    """The value as text: a true minus, a dash for what is not defined, p below what the digits can show as `< …`."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if kind == "count":
        return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")
    if kind == "p" and value < 10**-digits:
        return f"< {10**-digits:.{digits}f}"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")
