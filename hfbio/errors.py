"""The kinds of fault a user can cause, so that callers can catch them by name.

Every kind is also a built-in `ValueError` or `LookupError`. A bug in the caller's code (a
negative count, an empty list) raises a plain `ValueError` instead and never one of these.
"""

from __future__ import annotations


class HfbioError(Exception):
    """Any fault in a user's data, settings, models or repositories."""


class DataError(HfbioError, ValueError):
    """A file, table or column cannot be used as it is."""


class SequenceError(DataError):
    """One sequence holds something that is not a residue, or is too long for the model."""


class SettingError(HfbioError, ValueError):
    """A recipe key or a flag is unknown, out of range, or contradicts another."""


class UnknownModel(HfbioError, LookupError):
    """A model name, folder or architecture that hfbio cannot load."""


class AdapterMismatch(HfbioError, ValueError):
    """An adapter was trained on another base than the one at hand."""


class BundleError(HfbioError, ValueError):
    """A run folder or repository lacks a file, or its hfbio.json does not hold what it should."""


class HubError(HfbioError, LookupError):
    """The Hub refused something, could not be reached, or did not give back what was sent."""


class SecretError(HfbioError, ValueError):
    """Something that is about to be published holds a token, a private path or a password."""


class Shortfall(HfbioError, LookupError):
    """Fewer results could be made than were asked for."""


class MissingExtra(HfbioError, LookupError):
    """An optional package is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(
            f"this needs the optional packages of hfbio[{extra}]; "
            f"install them with: pip install 'hfbio[{extra}]'"
        )
        self.extra = extra
