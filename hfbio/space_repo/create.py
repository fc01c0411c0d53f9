"""`hfbio space create`: a published model becomes a page that others can sample from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hfbio.errors import HubError, SettingError
from hfbio.hub.client import client, require_repo_id
from hfbio.hub.secrets import require_no_secrets
from hfbio.space_repo.binding import Binding, bind, read_secrets, require_readable
from hfbio.space_repo.files import (
    README,
    REQUIREMENTS,
    add_requirements,
    bind_readme,
    write_space,
)
from hfbio.space_repo.remote import SpaceRemote
from hfbio.space_repo.running import wait

Say = Callable[[str], None]


@dataclass(frozen=True)
class CreatedSpace:
    """A Space that is up."""

    repo_id: str
    url: str
    stage: str  # RUNNING, or SLEEPING until somebody visits it
    commit: str  # of the Space
    model: str
    revision: str  # commit of the model
    hardware: str
    public: bool

    def __str__(self) -> str:
        seen = "public" if self.public else "private"
        return "\n".join(
            [
                f"space     {self.repo_id} is {self.stage} on {self.hardware}, {seen}",
                f"model     {self.model} at {self.revision}",
                f"commit    {self.commit}",
                f"page      {self.url}",
            ]
        )


def create_space(
    repo_id: str,
    model: str,
    *,
    revision: str | None = None,
    hardware: str | None = None,
    public: bool = False,
    update: bool = False,
    duplicate: str | None = None,
    secrets: Sequence[str] = (),
    timeout: float = 900.0,
    poll_seconds: float = 5.0,
    say: Say = lambda _: None,
) -> CreatedSpace:
    """Create or update a Space that samples from a published model, and wait until it runs.

    Everything that can be checked is checked before anything changes. A new Space is private until
    it runs, starts with all its settings, and is removed again if the upload fails. An update
    makes one commit, or none if nothing differs, and then changes the settings that differ. What
    others put into the Space stays, except in files that hfbio writes.

    Args:
        repo_id: ``USER/SPACE``.
        model: ``USER/REPO`` of a bundle on the Hub.
        revision: of the model: branch, tag or commit; the Space is bound to the commit it names.
        hardware: flavor of the machine, such as ``t4-small``; unchanged or free if ``None``.
        public: let everybody see it in the end.
        update: change the Space if it exists; without this an existing one is refused.
        duplicate: ``USER/SPACE`` of a page made with hfbio: copy it, changes and all, and bind the
            copy to ``model``.
        secrets: ``NAME`` or ``NAME=VARIABLE``: environment variables that become secrets.
        timeout: seconds to wait for it.
        poll_seconds: between two looks.
        say: told of each stage.

    Raises:
        SettingError: the Space exists, is another kind of page, or is public already without
            ``public``; or a secret is missing, or the model's base cannot be read.
        BundleError: the model's repository holds no bundle that a Space can load.
        SecretError: a file that would be uploaded holds a token.
        HubError: the Hub refused, or the Space does not come up.
    """
    require_repo_id(repo_id)
    require_repo_id(model)
    if duplicate is not None:
        require_repo_id(duplicate)
        if update:
            raise SettingError("--duplicate makes a new Space, --update changes one; give one")
    values = read_secrets(secrets)
    api = client()
    binding = bind(api, model, revision)
    space = SpaceRemote(api, repo_id)
    _require_welcome(space, update, public)
    require_readable(api, binding, values, space.secret_names())
    new = not space.repo.exists
    with TemporaryDirectory(prefix="hfbio-space-") as made:
        if duplicate is None:
            files = write_space(Path(made), binding)
        else:
            files = _rebind(SpaceRemote(api, duplicate), binding, Path(made))
        require_no_secrets(files)
        if new:
            say(f"creating {repo_id}, private")
            space.create(binding.variables, values, hardware, duplicate)
        say(f"uploading {len(files)} files")
        try:
            commit = space.commit(files, f"Sample from {model} with hfbio", whole=not duplicate)
        except BaseException as error:
            left = space.repo.remove_if_new()
            if left and isinstance(error, HubError):
                raise HubError(f"{error}{left}") from error
            raise
    restarting = not new and space.configure(binding.variables, values, hardware)
    say("waiting for it to run")
    runtime = wait(
        api,
        repo_id,
        commit,
        restarting=restarting,
        timeout=timeout,
        poll_seconds=poll_seconds,
    )
    if public:
        space.publish()
    return CreatedSpace(
        repo_id=repo_id,
        url=space.url,
        stage=str(getattr(runtime.stage, "value", runtime.stage)),
        commit=commit,
        model=model,
        revision=binding.revision,
        hardware=str(runtime.hardware or runtime.requested_hardware or "unknown hardware"),
        public=not space.repo.private,
    )


def _require_welcome(space: SpaceRemote, update: bool, public: bool) -> None:
    name = space.repo.repo_id
    if not space.repo.exists:
        return
    if not update:
        raise SettingError(
            f"the Space {name} exists; change it with --update, or choose another name"
        )
    space.require_ours()
    if not space.repo.private and not public:
        raise SettingError(
            f"the Space {name} is public: everybody would sample from this model at once; add "
            "--public if that is meant, make the Space private, or choose another name"
        )


def _rebind(source: SpaceRemote, binding: Binding, folder: Path) -> dict[str, Path]:
    """The files of a copy of ``source`` that speak of its model: written into ``folder``."""
    if not source.repo.exists:
        raise SettingError(f"there is no Space {source.repo.repo_id} to duplicate")
    source.require_ours()
    texts = {
        README: bind_readme(source.read(README), binding),
        REQUIREMENTS: add_requirements(source.read(REQUIREMENTS), binding),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in texts}
