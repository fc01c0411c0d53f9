"""Bring the values of repertoire files to one spelling. Knows no column names."""

from __future__ import annotations

import re
from typing import Final

_MISSING: Final = frozenset({"", "na", "n/a", "nan", "none", "null", "nd", "<na>"})
_TRUE: Final = frozenset({"t", "true", "1", "yes"})
_FALSE: Final = frozenset({"f", "false", "0", "no"})

# Common names by the ways files write a species: IMGT's six- or nine-letter prefixes of gene names
# (IMGT Repertoire, "List of species and abbreviations"), binomials, and the names themselves.
_SPECIES: Final = {
    # OAS's HIS-Mouse has a human immune system, and so makes human antibodies.
    "human": ("homsap", "homo sapiens", "hs", "his-mouse"),
    "mouse": ("musmus", "mus musculus", "mus", "mm"),
    "rat": ("ratnor", "rattus norvegicus"),
    "rabbit": ("orycun", "oryctolagus cuniculus"),
    "rhesus": ("macmul", "macaca mulatta", "rhesus monkey"),
    "cynomolgus": ("macfas", "macaca fascicularis"),
    "dog": ("canlup", "canlupfam", "canis lupus familiaris", "canis lupus"),
    "cat": ("felcat", "felis catus"),
    "pig": ("susscr", "sus scrofa"),
    "cow": ("bostau", "bos taurus"),
    "alpaca": ("vicpac", "vicugna pacos"),
    "camel": ("camdro", "camelus dromedarius"),
    "chicken": ("galgal", "gallus gallus"),
}
_COMMON: Final = {alias: name for name, aliases in _SPECIES.items() for alias in (name, *aliases)}

# How an antibody was made, which lists of therapeutics call its species.
_ORIGINS: Final = frozenset({"chimeric", "humanized", "humanised", "synthetic"})

_GENE: Final = re.compile(r"(?:IG[HKL]|TR[ABGD])[A-Z0-9/()-]*(?:\*[0-9]+)?", re.IGNORECASE)
_CONSTANT: Final = re.compile(r"\bIG(?:H?([MDGAE])|([KL])C)[A-Z0-9*]*", re.IGNORECASE)
_LOCUS: Final = {"H": "IGH", "HEAVY": "IGH", "K": "IGK", "KAPPA": "IGK", "LAMBDA": "IGL"}
_LOCI: Final = ("IGH", "IGK", "IGL", "TRA", "TRB", "TRG", "TRD")


def text(value: object) -> str:
    """``value`` without outer blanks; a way of saying "missing" becomes the empty string."""
    if value is None:
        return ""
    stripped = str(value).strip()
    return "" if stripped.lower() in _MISSING else stripped


def boolean(value: str) -> bool | None:
    """T, TRUE, 1, yes and their opposites in any case; ``None`` for anything else."""
    lowered = value.lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


def count(value: str) -> int:
    """A number of reads, at least 1; 1 where the file gives none. Pandas' ``3.0`` is 3."""
    try:
        return max(1, int(float(value)))
    except (ValueError, OverflowError):
        return 1


def gene(call: str) -> str:
    """The first gene of a call: ``IGHV3-11*05`` from ``Homsap IGHV3-11*05 F,Homsap IGHV3-11*06``.

    A call without an IMGT gene name gives the empty string.
    """
    found = _GENE.search(call)
    return found[0].upper() if found else ""


def isotype(constant: str) -> str:
    """The class of a constant gene or isotype: IGHG from ``IGHG1*01``, ``IgG1`` or ``IGG``.

    The light chains give ``IGKC`` and ``IGLC``; anything else, OAS's ``Bulk`` too, is unknown.
    """
    found = _CONSTANT.search(constant)
    if found is None:
        return ""
    heavy, light = found.groups()
    return f"IGH{heavy}".upper() if heavy else f"IG{light}C".upper()


def locus(value: str) -> str:
    """``IGH``, ``IGK``, ``IGL`` or a receptor's ``TRB``, ... from H, heavy, kappa, lambda, ...

    Unknown otherwise. ``L`` is, because it says light as often as lambda; so are chain letters.
    """
    upper = value.upper()
    return upper if upper in _LOCI else _LOCUS.get(upper, "")


def species(value: str, *calls: str) -> str:
    """A lower-case common name from a species column, or from a prefix in gene calls.

    Args:
        value: the column, empty if there is none; an unknown species stays as it is, in lower case,
            and a strain is left out (OAS: ``mouse_BALB/c``). "Humanized" and the like are none.
        calls: gene calls as the file gives them, such as ``Homsap IGHV3-11*05 F``.
    """
    name = " ".join(value.lower().replace("_", " ").split())
    if name and name not in _ORIGINS:
        strainless = value.lower().partition("_")[0].strip()
        return _COMMON.get(name) or _COMMON.get(strainless, name)
    for call in calls:
        prefix = call.split(" ", 1)[0].lower()
        if prefix in _COMMON:
            return _COMMON[prefix]
    return ""
