"""`hfbio push`: a run becomes a repository that a stranger can load, understand and cite."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hfbio.bundle import Manifest, read_manifest, write_json
from hfbio.card import licences, measure_designs, run_example, write_card
from hfbio.data import load_table
from hfbio.errors import BundleError, HubError, SettingError
from hfbio.hub.client import ask, client, explaining, require_repo_id
from hfbio.hub.payload import digests, files_of, payload
from hfbio.hub.remote import Commit, Remote
from hfbio.hub.secrets import require_no_secrets
from hfbio.hub.verify import Fingerprint, fingerprint, require_same
from hfbio.model import AntibodyModel, load

MAIN = "main"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """Where a run goes, and who may see it there."""

    repo_id: str  # USER/REPO
    public: bool = False
    revision: str = MAIN  # branch; made from main if it is new
    create_pr: bool = False  # leave the branch alone and open a pull request instead
    tag: str | None = None  # a name for the commit, such as v1.0
    collection: str | None = None  # title of one of your own, or USER/SLUG of any
    license: str | None = None  # of the repository; follows from base and data if None
    allow_non_commercial: bool = False  # publish what was made from non-commercial parts

    def __post_init__(self) -> None:
        require_repo_id(self.repo_id)
        if self.create_pr and self.tag:
            raise SettingError("a pull request cannot be tagged; tag it once it is merged")


@dataclass(frozen=True)
class Pushed:
    """What is on the Hub now."""

    repo_id: str
    url: str  # of the commit or the pull request
    commit: str
    changed: tuple[str, ...]  # files written or removed; empty if all was there already
    public: bool

    def __str__(self) -> str:
        what = f"{len(self.changed)} files" if self.changed else "nothing new, all was there"
        seen = "public" if self.public else "private"
        return "\n".join(
            [
                f"pushed    {what}; {self.repo_id} is {seen}",
                f"commit    {self.commit}",
                "verified  loaded back: same logits, same designs",
                f"page      {self.url}",
            ]
        )


def push(
    run: str | Path,
    target: Target | str,
    *,
    merge: bool = False,
    base: str | None = None,
    reference: Path | None = None,
    say: Say = lambda _: None,
) -> Pushed:
    """Publish a finished run: weights, tokenizer, hfbio.json, metrics.json, figures and card.

    The commit is first made on a branch of its own, loaded back from there, and compared with the
    run: logits of five sequences, and the designs of one seed. Only then it is made on the target,
    in one piece; a new repository is private until that is done. After any fault the target is as
    it was, and a repository that this call created is removed. Pushing the same run again changes
    nothing.

    Args:
        run: a folder that `hfbio.finetune` wrote. Its metrics.json gains the design panel.
        target: the repository; a plain ``USER/REPO`` is private.
        merge: publish full weights with the adapter folded in, instead of the adapter.
        base: where the base lies, to merge an adapter on a local folder.
        reference: the table of training chains that designs are compared with, where the run does
            not hold it (``data/train.parquet``); without one the card has no novelty.
        say: told of each stage.

    Raises:
        BundleError: ``run`` is not a finished run.
        SettingError: the target or the licences do not allow it.
        SecretError: a file holds a token, a password or a home folder.
        HubError: the Hub refused, or gave back something else than was sent.
    """
    run, target = Path(run), Target(target) if isinstance(target, str) else target
    manifest = read_manifest(run)
    _require_licence(manifest, target, say)
    with payload(run, merged=merge, base=base) as folder:
        say("measuring designs and writing the card")
        model = load(folder)
        _complete_metrics(run, folder, model, reference)
        example = run_example(folder, target.repo_id)
        write_card(folder, target.repo_id, example=example, license=target.license)
        files = files_of(folder)
        require_no_secrets(files)
        sent = fingerprint(model)
        remote = Remote(client(), target.repo_id)
        _require_welcome(remote, target)
        if not remote.exists:
            say(f"creating {target.repo_id}, private")
            remote.create()
        try:
            pushed = _publish(remote, target, files, sent, say)
        except BaseException as error:
            left = remote.remove_if_new()
            if left and isinstance(error, HubError):
                raise HubError(f"{error}{left}") from error
            raise
    return _finish(remote, target, pushed, say)


def _publish(
    remote: Remote, target: Target, files: dict[str, Path], sent: Fingerprint, say: Say
) -> Pushed:
    base = remote.head(target.revision)
    parent = base or remote.head(MAIN)
    if parent is None:
        raise HubError(f"{target.repo_id} has no branch {MAIN!r}")
    if target.tag and (tagged := remote.tag(target.tag)) not in (None, parent):
        raise SettingError(f"{target.repo_id} has a tag {target.tag!r} already, at {tagged}")
    commit = remote.plan(files, parent, f"Push {target.repo_id.split('/')[1]} with hfbio")
    page = f"{remote.api.endpoint}/{target.repo_id}"
    if commit is None:
        say("loading it back")
        require_same(target.repo_id, parent, sent)
        return Pushed(target.repo_id, page, parent, (), remote.private is False)
    if target.tag and remote.tag(target.tag):
        raise SettingError(
            f"{target.repo_id} has a tag {target.tag!r} already, on other content; choose another"
        )
    changed = (*commit.files, *commit.stale)
    say(f"uploading {len(commit.files)} files")
    if target.create_pr:
        return _propose(remote, target, commit, sent, say)
    with remote.staging_branch(_staging_name(commit), parent) as branch:
        staged = remote.commit(commit, branch, parent)
        say("loading it back")
        require_same(target.repo_id, staged, sent)
        if base is None:
            remote.create_branch(target.revision, parent)
        made = remote.commit(commit, target.revision, parent)
    return Pushed(target.repo_id, page, made, changed, remote.private is False)


def _propose(remote: Remote, target: Target, commit: Commit, sent: Fingerprint, say: Say) -> Pushed:
    ref, url = remote.pull_request(commit, target.revision)
    head = remote.head(ref)
    say("loading it back")
    try:
        require_same(target.repo_id, head or ref, sent)
    except HubError as error:
        with explaining(f"{error}; and the pull request {url} cannot be closed"):
            remote.api.change_discussion_status(
                remote.repo_id, int(ref.rsplit("/", 1)[1]), "closed", comment="It failed its check."
            )
        raise
    changed = (*commit.files, *commit.stale)
    return Pushed(target.repo_id, url, head or ref, changed, remote.private is False)


def _finish(remote: Remote, target: Target, pushed: Pushed, say: Say) -> Pushed:
    """Tag, show to the world, list: what follows once everything is there and verified."""
    api, done = remote.api, f"{target.repo_id} is pushed and verified, but"
    if (tag := target.tag) and remote.tag(tag) is None:
        ask(
            f"{done} cannot be tagged {tag!r}",
            lambda: api.create_tag(remote.repo_id, tag=tag, revision=pushed.commit, exist_ok=True),
        )
    if target.public and remote.private:
        say("making it public")
        ask(
            f"{done} cannot be made public",
            lambda: api.update_repo_settings(remote.repo_id, visibility="public"),
        )
    if title := target.collection:
        ask(
            f"{done} cannot be put into the collection {title!r}",
            lambda: _collect(remote, title, private=not target.public),
        )
    return Pushed(pushed.repo_id, pushed.url, pushed.commit, pushed.changed, target.public)


def _collect(remote: Remote, title: str, *, private: bool) -> None:
    slug = title
    if "/" not in title:
        slug = remote.api.create_collection(title, private=private, exists_ok=True).slug
    remote.api.add_collection_item(slug, remote.repo_id, "model", exists_ok=True)


def _require_licence(manifest: Manifest, target: Target, say: Say) -> None:
    parts = licences(manifest).non_commercial
    if not parts:
        return
    what = f"{' and '.join(parts)} of this run may not be used commercially"
    if target.public and not target.allow_non_commercial:
        raise SettingError(
            f"{what}; push it privately, or, if their licences let you publish it, add "
            "--allow_non_commercial"
        )
    say(f"note: {what}; the card says so")


def _require_welcome(remote: Remote, target: Target) -> None:
    if remote.private is False and not target.public:
        raise SettingError(
            f"{target.repo_id} is public: everybody would see this run at once; say --public if "
            "that is meant, or choose another name"
        )
    if target.create_pr and not remote.exists:
        raise SettingError(
            f"{target.repo_id} does not exist; there is nothing to open a pull request on"
        )


def _complete_metrics(
    run: Path, folder: Path, model: AntibodyModel, reference: Path | None
) -> None:
    """Add the design panel to metrics.json of run and payload, once for each run."""
    path = run / "metrics.json"
    if not path.is_file():
        raise BundleError(f"{run} holds no metrics.json; push a finished run")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    own = run / "data" / "train.parquet"
    table = reference or (own if own.is_file() else None)
    known = metrics.get("designs")
    if known is None or (reference and known["novel"] is None):
        metrics["designs"] = measure_designs(model, load_table(table) if table else ())
        write_json(path, metrics)
    write_json(folder / "metrics.json", metrics)


def _staging_name(commit: Commit) -> str:
    whole = hashlib.sha256()
    for name, path in sorted(commit.files.items()):
        whole.update(f"{name} {digests(path)[1]}\n".encode())
    return f"hfbio-push-{whole.hexdigest()[:12]}"
