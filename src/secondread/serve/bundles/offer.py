"""The bundles on offer, asked for once in a request: which of them was chosen, and what pixels they all want."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from secondread.images.decode import PixelSpec
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.statements import Select, loaded

BUT_THE_CARD = tuple(field.attname for field in RegisteredBundle._meta.concrete_fields if field.attname != "card")
ACTIVE = Select(lambda: RegisteredBundle.objects.filter(active=True).values_list(*BUT_THE_CARD))
_known_specs: dict[str, dict[str, Any]] = {}
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
                _known_specs[bundle.sha256] = asdict(pixel_spec(bundle.card))
        specs: list[dict[str, Any]] = []
        for bundle in self.bundles:
            if (spec := _known_specs[bundle.sha256]) not in specs:
                specs.append(spec)
        return specs


def on_offer() -> Offer:
    return Offer([loaded(RegisteredBundle, BUT_THE_CARD, row) for row in ACTIVE.rows()])


def pixel_spec(card: dict[str, Any]) -> PixelSpec:
    return PixelSpec(card["size"], card["fit"], card["channels"], card["intensity"], card["crop_border"])
