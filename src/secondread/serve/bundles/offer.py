"""The bundles on offer, asked for once in a request: which of them was chosen, and what pixels they all want."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from secondread.images.decode import PixelSpec
from secondread.serve.bundles.models import RegisteredBundle

_known_specs: dict[str, PixelSpec] = {}
"""By digest: what stands on the card of a digest never changes."""


@dataclass(frozen=True)
class Offer:
    """Active bundles in their order, without their cards."""

    bundles: list[RegisteredBundle]

    def chosen(self, sha256: str) -> RegisteredBundle | None:
        return next((bundle for bundle in self.bundles if bundle.sha256 == sha256), None)

    @property
    def first(self) -> RegisteredBundle | None:
        return self.bundles[0] if self.bundles else None

    def specs(self) -> list[dict[str, Any]]:
        """The distinct model inputs; an image is kept in each, so that any bundle can read it later."""
        for bundle in self.bundles:
            if bundle.sha256 not in _known_specs:
                _known_specs[bundle.sha256] = pixel_spec(bundle.card)
        return [asdict(spec) for spec in {_known_specs[bundle.sha256] for bundle in self.bundles}]


def on_offer() -> Offer:
    return Offer(list(RegisteredBundle.objects.filter(active=True).defer("card")))


def pixel_spec(card: dict[str, Any]) -> PixelSpec:
    return PixelSpec(card["size"], card["fit"], card["channels"], card["intensity"], card["crop_border"])
