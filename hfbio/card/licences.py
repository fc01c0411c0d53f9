"""What the licences of base and data mean for a repository. Gives no legal advice."""

from __future__ import annotations

from dataclasses import dataclass

from hfbio.bundle import Manifest
from hfbio.licences import ON_HUB, OTHER, identifier, is_non_commercial


@dataclass(frozen=True)
class Licences:
    """Hub identifiers, or a slug of the given words where the Hub has none.

    ``card`` is what the repository declares. Where that is ``other``, ``card_name`` says what.
    """

    base: str  # of a model without a base: of its weights
    data: str
    card: str
    card_name: str | None
    non_commercial: tuple[str, ...]  # of "base" (or "weights") and "data": not for commerce


def licences(manifest: Manifest, given: str | None = None) -> Licences:
    """What the licences of base and data mean for the repository.

    One licence for both is the repository's as well. Two different ones give ``other`` with a
    name that lists both, such as ``base-mit-data-agpl-3.0``. hfbio does not judge which governs
    the weights. A model that was trained from nothing has weights in place of a base.

    Args:
        manifest: of the bundle.
        given: what the user declares instead.
    """
    parts = {"base": manifest.base_license, "data": str(manifest.data.get("license") or "")}
    base, data = (identifier(text) for text in parts.values())
    first = "base" if manifest.has_base else "weights"
    card = identifier(given) if given else base if base == data else f"{first}-{base}-data-{data}"
    known = card in ON_HUB
    return Licences(
        base=base,
        data=data,
        card=card if known else OTHER,
        card_name=None if known else card,
        non_commercial=tuple(
            first if name == "base" else name
            for name, text in parts.items()
            if is_non_commercial(text)
        ),
    )
