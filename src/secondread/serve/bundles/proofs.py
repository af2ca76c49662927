"""Proofs that operators enter, for all readers to see: what `secondread prove` wrote into its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from secondread.core.errors import WrongRequest
from secondread.serve.bundles.models import BundleProof, RegisteredBundle

FILE = "proof.json"
LARGEST = 1 << 20
OUTCOMES = ("holds", "does not hold", "not shown", "nothing was promised")
FIGURES = ("promised", "promised_low", "promised_high", "here", "here_low", "here_high", "difference",
           "difference_low", "difference_high")  # fmt: skip


def enter(folder: Path, name: str = "") -> BundleProof:
    """Keep the proof in `folder` under `name` (that of the images when none is given), in place of one of that name.

    Raises `WrongRequest` for what is no proof, and for one of a bundle that this site does not know.
    """
    told = _read(folder)
    bundle = RegisteredBundle.objects.filter(sha256=told["bundle"]["sha256"]).first()
    if bundle is None:
        raise WrongRequest(f"{folder} proves {told['bundle']['name']}, another bundle than those of this site")
    called = (name or Path(told["data"]).name or "images")[:200]
    kept = {key: told[key] for key in ("sentences", "claims", "images", "patients", "margin")}
    proof, _ = BundleProof.objects.update_or_create(
        bundle=bundle, name=called,
        defaults={"outcome": told["outcome"], "told": kept, "made": str(told["made"]["when"])[:10]},
    )  # fmt: skip
    return proof


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        if path.stat().st_size > LARGEST:
            raise WrongRequest(f"{path} is too large to be a proof")
        told = json.loads(path.read_text(encoding="utf8"), parse_constant=str)
    except OSError as error:
        raise WrongRequest(f"{folder} holds no proof: name the folder that secondread prove wrote") from error
    except ValueError as error:
        raise WrongRequest(f"{path} is not readable: {error}") from error
    if not _is_whole(told):
        raise WrongRequest(f"{path} is not the proof of a bundle")
    return told  # type: ignore[no-any-return]


def _is_whole(told: Any) -> bool:
    """Whether all that a page shows is there and of the kind it must be."""
    try:
        texts = [*told["sentences"], told["data"], told["bundle"]["name"], told["bundle"]["sha256"]]
        texts += [one[key] for one in told["claims"] for key in ("metric", "class", "verdict")]
        counts = [told["images"], told["patients"]]
        figures = [one[key] for one in told["claims"] for key in FIGURES if one[key] is not None]
        return (
            told["outcome"] in OUTCOMES and bool(told["sentences"]) and "when" in told["made"]
            and all(isinstance(one["holds"], bool) for one in told["claims"])
            and all(isinstance(text, str) for text in texts) and all(type(count) is int for count in counts)
            and all(type(figure) in (int, float) for figure in [*figures, told["margin"]])
        )  # fmt: skip
    except (KeyError, TypeError, IndexError):
        return False
