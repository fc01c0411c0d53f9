"""What the Hub reads from a README: the YAML block and the faults it refuses.

Only the rules that a generated card is likely to break are here; the Hub has more.
"""

from __future__ import annotations

import re

import yaml

# Identifiers that the Hub accepts as `license`, cut to those met around protein models.
# Source: https://huggingface.co/docs/hub/repositories-licenses
LICENSES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "agpl-3.0"),
    *("lgpl-3.0", "mpl-2.0", "openrail", "cc", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "odbl", "unknown", "other"),
)
# Source: https://huggingface.co/docs/hub/spaces-config-reference
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SPACE_KINDS = ("gradio", "docker", "static")

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_card(text: str) -> dict:
    """Metadata of a README, empty if it has none or if its YAML is broken."""
    try:
        return _parse(text)
    except (ValueError, yaml.YAMLError):
        return {}


def card_errors(text: str, kind: str) -> list[str]:
    """Reasons for which the Hub refuses the README of a repo of this kind."""
    try:
        card = _parse(text)
    except (ValueError, yaml.YAMLError) as error:
        return [f"Invalid YAML in README.md: {error}"]
    errors = []
    licenses = card.get("license") or []
    for name in [licenses] if isinstance(licenses, str) else licenses:
        if name not in LICENSES:
            errors.append(f'"license" must be one of {LICENSES}, got {name!r}')
    if not isinstance(card.get("tags") or [], list):
        errors.append('"tags" must be an array')
    for key in ("base_model", "datasets"):
        ids = card.get(key) or []
        for repo_id in [ids] if isinstance(ids, str) else ids:
            if not _REPO_ID.fullmatch(str(repo_id)):
                errors.append(f'"{key}" with value {repo_id!r} is not valid. Use a repo id.')
    return errors + (_space_errors(card) if kind == "space" else [])


def _parse(text: str) -> dict:
    block = _FRONT_MATTER.match(text)
    card = yaml.safe_load(block[1]) if block else {}
    if not isinstance(card or {}, dict):
        raise ValueError("the metadata must be a mapping")
    return card or {}


def _space_errors(card: dict) -> list[str]:
    errors = []
    if card.get("sdk") not in SPACE_KINDS:
        errors.append(f'"sdk" must be one of {SPACE_KINDS}, got {card.get("sdk")!r}')
    for key in ("colorFrom", "colorTo"):
        if key in card and card[key] not in COLORS:
            errors.append(f'"{key}" must be one of {COLORS}, got {card[key]!r}')
    if len(str(card.get("short_description", ""))) > 60:
        errors.append('"short_description" length must be at most 60 characters')
    return errors
