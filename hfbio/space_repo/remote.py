"""What a Space has beyond other repositories: its kind, settings and machine. Chooses no files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from huggingface_hub import HfApi

from hfbio.errors import HubError, SettingError
from hfbio.hub.client import ask, explaining
from hfbio.hub.remote import MAIN, Remote
from hfbio.space_repo.files import LISTING, PACKAGE, README
from hfbio.space_repo.running import page_of

SDK: Final = "gradio"
_OF_THE_HUB: Final = {".gitattributes", README}  # what a new Space holds already


class SpaceRemote:
    """A Space as this process sees and changes it."""

    def __init__(self, api: HfApi, repo_id: str) -> None:
        """Look whether it exists.

        Args:
            api: the client.
            repo_id: ``USER/SPACE``.

        Raises:
            HubError: the Hub cannot be asked.
        """
        self.url = page_of(api, repo_id)
        self.repo = Remote(api, repo_id, repo_type="space", owned=lambda path: path in self._ours)
        self._api = api
        self._ours: frozenset[str] = frozenset()  # what the commit to be made replaces

    def require_ours(self) -> None:
        """Check that no other page would be overwritten or duplicated in place of ours.

        Raises:
            SettingError: the Space holds files, and they are not a page of hfbio.
        """
        name = self.repo.repo_id
        there = self.repo.files(self._head()).keys()
        sdk = ask(f"cannot look at the Space {name}", lambda: self._api.space_info(name).sdk)
        if sdk != SDK or (there - _OF_THE_HUB and f"{PACKAGE}__init__.py" not in there):
            raise SettingError(
                f"{name} is a Space, but not one that `hfbio space create` made; choose another "
                "name"
            )

    def secret_names(self) -> set[str]:
        """Names of the secrets it has; their values cannot be read."""
        if not self.repo.exists:
            return set()
        name = self.repo.repo_id
        return ask(
            f"cannot list the secrets of {name}", lambda: set(self._api.get_space_secrets(name))
        )

    def create(
        self,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
        hardware: str | None,
        source: str | None = None,
    ) -> None:
        """Create it, private, with its settings, so that it never runs without them.

        Args:
            variables: name -> value.
            secrets: name -> value.
            hardware: flavor; the Hub's free one if ``None``.
            source: another Space to copy; an empty one if ``None``.
        """
        name = self.repo.repo_id
        settings: dict[str, Any] = {
            "private": True,
            "repo_type": "space",
            "space_hardware": hardware,
            "space_variables": _pairs(variables),
            "space_secrets": _pairs(secrets) or None,
        }

        def make() -> object:
            if source is None:
                return self._api.create_repo(name, space_sdk=SDK, **settings)
            return self._api.duplicate_repo(source, name, **settings)

        self.repo.create(make)

    def read(self, path: str, revision: str | None = None) -> str:
        """A small text file of it."""
        name = self.repo.repo_id
        with explaining(f"cannot read {path} of {name}"):
            found = self._api.hf_hub_download(name, path, revision=revision, repo_type="space")
        return Path(found).read_text(encoding="utf-8")

    def commit(self, files: Mapping[str, Path], title: str, *, whole: bool = True) -> str:
        """Make the Space hold these files, in one commit; returns the id of the head.

        Nothing is committed if nothing differs.

        Args:
            files: by their path in the Space.
            title: of the commit.
            whole: these are all files of the page: remove those that an earlier upload wrote
                beyond them. What others put there stays.
        """
        head = self._head()
        self._ours = self._written(head) if whole else frozenset()
        commit = self.repo.plan(files, head, title)
        return head if commit is None else self.repo.commit(commit, MAIN, head)

    def configure(
        self, variables: Mapping[str, str], secrets: Mapping[str, str], hardware: str | None
    ) -> bool:
        """Bring the settings of a Space up to date; whether there was anything to change.

        Each change restarts it, so none is made twice. Secrets come first: the page may need them
        to read what the variables name.
        """
        api, name = self._api, self.repo.repo_id
        fault = f"{name} holds the new files, but its settings are not changed"
        for key, value in secrets.items():
            ask(fault, partial(api.add_space_secret, name, key, value))
        there = ask(fault, partial(api.get_space_variables, name))
        differing = {
            key: value
            for key, value in variables.items()
            if key not in there or there[key].value != value
        }
        for key, value in differing.items():
            ask(fault, partial(api.add_space_variable, name, key, value))
        moved = False
        if hardware is not None:
            runtime = ask(fault, partial(api.get_space_runtime, name))
            moved = hardware != (runtime.requested_hardware or runtime.hardware)
        if moved:
            ask(fault, partial(api.request_space_hardware, name, hardware))  # type: ignore[arg-type]
        return bool(secrets or differing or moved)

    def publish(self) -> None:
        """Let everybody see it."""
        name = self.repo.repo_id
        if self.repo.private:
            ask(
                f"{name} runs, but cannot be made public",
                lambda: self._api.update_repo_settings(name, repo_type="space", private=False),
            )
            self.repo.private = False

    def _head(self) -> str:
        if (head := self.repo.head(MAIN)) is None:
            raise HubError(f"the Space {self.repo.repo_id} has no branch {MAIN!r}")
        return head

    def _written(self, head: str) -> frozenset[str]:
        """Paths that an earlier upload wrote."""
        there = self.repo.files(head).keys()
        listed = set(self.read(LISTING, head).splitlines()) if LISTING in there else set()
        return frozenset(path for path in there if path.startswith(PACKAGE) or path in listed)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]
