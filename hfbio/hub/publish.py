"""`hfbio push`: a run becomes a repository that a stranger can load, understand and cite."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hfbio.bundle import LATENT_MAP, read_manifest, write_json
from hfbio.card import measure_designs, read_metrics, run_example, write_card
from hfbio.data import load_table
from hfbio.errors import HubError, SettingError
from hfbio.hub.client import ask, client, explaining
from hfbio.hub.payload import digests, files_of, payload
from hfbio.hub.readable import require_base_readable
from hfbio.hub.remote import MAIN, Commit, Remote
from hfbio.hub.secrets import require_no_secrets
from hfbio.hub.target import (
    Pushed,
    Target,
    require_licence,
    require_welcome,
    require_writer,
)
from hfbio.hub.verify import Fingerprint, fingerprint, require_same
from hfbio.model import AntibodyModel, load

Say = Callable[[str], None]


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
    if note := require_licence(manifest, target):
        say(note)
    metrics = read_metrics(run)
    if target.public:  # with nobody's token, as a stranger
        require_base_readable(manifest, False)
    api = client()
    require_writer(api, target)
    remote = Remote(api, target.repo_id)
    require_welcome(remote, target)
    with payload(run, merged=merge, base=base) as folder:
        say("measuring designs and writing the card")
        model = load(folder)
        metrics = _with_designs(metrics, run, model, reference, say)
        write_json(folder / "metrics.json", metrics)
        example = run_example(folder, target.repo_id)
        write_card(folder, target.repo_id, example=example, license=target.license)
        files = files_of(folder)
        require_no_secrets(files)
        if (shown := model.latent) is not None:
            say(
                f"note: {LATENT_MAP} tells the names of {len(shown.ids):,} training chains, with "
                "V family, isotype, locus and species; if they are confidential, remove it from "
                "the run"
            )
        sent = fingerprint(model)
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
    tagged = remote.tag(target.tag) if target.tag else None
    if tagged not in (None, parent):
        raise SettingError(f"{target.repo_id} has a tag {target.tag!r} already, at {tagged}")
    commit = remote.plan(files, parent, f"Push {target.repo_id.split('/')[1]} with hfbio")
    page = f"{remote.api.endpoint}/{target.repo_id}"
    if commit is None:
        say("loading it back")
        require_same(target.repo_id, parent, sent)
        if base is None and not target.create_pr:
            remote.create_branch(target.revision, parent)
        return Pushed(target.repo_id, page, parent, (), remote.private is False)
    if tagged:
        raise SettingError(
            f"{target.repo_id} has a tag {target.tag!r} already, on other content; choose another"
        )
    changed = (*commit.files, *commit.stale)
    say(f"uploading {len(commit.files)} files")
    if target.create_pr:
        ref, url = _propose(remote, target, commit, sent, say)
        return Pushed(target.repo_id, url, ref, changed, remote.private is False)
    with remote.staging_branch(_staging_name(commit), parent) as branch:
        staged = remote.commit(commit, branch, parent)
        say("loading it back")
        require_same(target.repo_id, staged, sent)
        if base is None:
            remote.create_branch(target.revision, staged)
            made = staged
        else:
            made = remote.commit(commit, target.revision, parent)
    return Pushed(target.repo_id, page, made, changed, remote.private is False)


def _propose(
    remote: Remote, target: Target, commit: Commit, sent: Fingerprint, say: Say
) -> tuple[str, str]:
    """Open a pull request and check it; one that fails, or of which no answer came, is closed."""
    before = _pull_requests(remote)
    try:
        ref, url = remote.pull_request(commit, target.revision)
        head = remote.head(ref)
        if head is None:
            raise HubError(f"{target.repo_id} does not show the pull request {url}")
        say("loading it back")
        require_same(target.repo_id, head, sent)
    except BaseException:
        for opened in sorted(_pull_requests(remote) - before):
            with explaining(f"the pull request {opened} of {target.repo_id} cannot be closed"):
                number = int(opened.rsplit("/", 1)[1])
                remote.api.change_discussion_status(
                    remote.repo_id, number, "closed", comment="It failed its check."
                )
        raise
    return head, url


def _finish(remote: Remote, target: Target, pushed: Pushed, say: Say) -> Pushed:
    """Tag, show to the world, list: what follows once everything is there and verified."""
    api, done = remote.api, f"{target.repo_id} is pushed and verified, but"
    if (tag := target.tag) and remote.tag(tag) is None:
        ask(
            f"{done} cannot be tagged {tag!r}",
            lambda: api.create_tag(remote.repo_id, tag=tag, revision=pushed.commit, exist_ok=True),
        )
    # A pull request is not what `main` holds: it makes nothing public.
    public = remote.private is False
    if target.public and not public and not target.create_pr:
        say("making it public")
        ask(
            f"{done} cannot be made public",
            lambda: api.update_repo_settings(remote.repo_id, visibility="public"),
        )
        public = True
    if title := target.collection:
        ask(
            f"{done} cannot be put into the collection {title!r}",
            lambda: _collect(remote, title, private=not public),
        )
    return Pushed(pushed.repo_id, pushed.url, pushed.commit, pushed.changed, public)


def _pull_requests(remote: Remote) -> set[str]:
    refs = ask(
        f"cannot list the pull requests of {remote.repo_id}",
        lambda: remote.api.list_repo_refs(remote.repo_id, include_pull_requests=True),
    )
    return {ref.ref for ref in refs.pull_requests or []}


def _collect(remote: Remote, title: str, *, private: bool) -> None:
    slug = title
    if "/" not in title:
        slug = remote.api.create_collection(title, private=private, exists_ok=True).slug
    remote.api.add_collection_item(slug, remote.repo_id, "model", exists_ok=True)


def _with_designs(
    metrics: dict[str, Any], run: Path, model: AntibodyModel, reference: Path | None, say: Say
) -> dict[str, Any]:
    """``metrics`` with the design panel, which the run keeps for the next push."""
    own = run / "data" / "train.parquet"
    table = reference or (own if own.is_file() else None)
    known = metrics.get("designs")
    if isinstance(known, dict) and (reference is None or known.get("novel") is not None):
        return metrics
    designs = measure_designs(model, load_table(table) if table else ())
    metrics = {**metrics, "designs": designs}
    try:
        write_json(run / "metrics.json", metrics)
    except OSError as error:  # somebody else's run, say: it can be pushed all the same
        say(f"note: the designs are not added to {run / 'metrics.json'}: {error.strerror}")
    return metrics


def _staging_name(commit: Commit) -> str:
    whole = hashlib.sha256()
    for name, path in sorted(commit.files.items()):
        whole.update(f"{name} {digests(path)[1]}\n".encode())
    return f"hfbio-push-{whole.hexdigest()[:12]}"
