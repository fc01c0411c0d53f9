"""The server that a test starts, fills, breaks and asks."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from hub import collections, pushing, reading, repos, spaces  # noqa: F401, they register their routes
from hub.api import Account, Api
from hub.faults import Fault, Plan
from hub.store import Commit, Repo
from hub.wire import Call, Listener, Reply, Request

Kind = Literal["model", "dataset", "space"]


class HubServer:
    """A Hub on an ephemeral port of 127.0.0.1, empty at first and gone at the end.

    Clients read their settings when they are imported, so give `environment()` to a
    subprocess; setting it in a process that has imported `huggingface_hub` changes nothing.

    ```python
    with HubServer() as server:
        server.add_repo("model", "user/tiny-esm", tiny_esm_files())
        subprocess.run([sys.executable, "-c", script], env=server.environment(tmp_path), check=True)
        assert "README.md" in server.files("model", "user/tiny-esm")
    ```
    """

    def __init__(self, users: Iterable[str] = ("user", "other")) -> None:
        self._api = Api()
        self.before_each: Callable[[Call], None] | None = None  # sees each request first
        self._listener = Listener(self._answer, self._api.user_of)
        self._api.url = self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._tokens = {(u, r): f"hf_{secrets.token_hex(16)}" for u in users for r in _ROLES}
        self._api.accounts = {token: Account(*who) for who, token in self._tokens.items()}
        # The default interval would make every test wait half a second for the end.
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Stop.

        Raises:
            RuntimeError: the server itself crashed on a request, whatever the client made of it.
        """
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        if self._listener.crashes and error is None:
            raise RuntimeError("the test server crashed:\n" + "\n".join(self._listener.crashes))

    def token(self, user: str = "user", role: Literal["write", "read"] = "write") -> str:
        """A token of one of the users; a read token sees what its user sees, changes nothing."""
        return self._tokens[user, role]

    def environment(
        self,
        cache_dir: Path | str,
        user: str | None = "user",
        role: str = "write",
        xet: bool = False,
    ) -> dict[str, str]:
        """The whole environment for a client process, with its own cache; no token for `None`.

        With ``xet`` the client keeps its Xet uploads on; there is no endpoint for them here, so
        set `regular_only` too.

        Settings of Hugging Face libraries in the current environment are dropped. Everything
        that is not on 127.0.0.1 is sent to this server as its proxy, refused and logged.
        """
        dropped = ("HF_", "HUGGING", "TRANSFORMERS_", "DATASETS_", "XET_")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(dropped) and not name.lower().endswith("_proxy")
        }
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache_dir),
            "HF_HUB_DISABLE_XET": str(int(not xet)),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # `hf` would ask pypi.org
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets would tell s3.amazonaws.com
            "HTTP_PROXY": self.url,
            "HTTPS_PROXY": self.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        token = {"HF_TOKEN": self.token(user, role)} if user else {}
        return kept | ours | token

    def add_repo(
        self, kind: Kind, id: str, files: Mapping[str, bytes] | None = None, private: bool = False
    ) -> Repo:
        """Put a repo there with exactly these files; its settings may be changed in place.

        A repo that a client creates also holds what the Hub adds: `.gitattributes`, and in a
        Space a README.
        """
        repo = Repo(kind, id, private)
        repo.seed(files or {}, "refs/heads/main", "initial commit")
        with self._api.lock:
            self._api.repos[kind, id] = repo
        return repo

    def repo(self, kind: Kind, id: str) -> Repo:
        """A repo with its commits, refs, secrets, variables and hardware.

        Raises:
            LookupError: there is none.
        """
        with self._api.lock:
            if (kind, id) not in self._api.repos:
                raise LookupError(f"no {kind} {id!r}; there are {sorted(self._api.repos)}")
            return self._api.repos[kind, id]

    def exists(self, kind: Kind, id: str) -> bool:
        """Whether a repo is there, private or not."""
        with self._api.lock:
            return (kind, id) in self._api.repos

    def files(self, kind: Kind, id: str, revision: str = "main") -> dict[str, bytes]:
        """Content of every file at a revision, by path."""
        with self._api.lock:
            commit = self.repo(kind, id).at(revision)
        return {path: file.data for path, file in commit.files.items()}

    def sha(self, kind: Kind, id: str, revision: str = "main") -> str:
        """The 40 digits of the commit that a revision names now."""
        with self._api.lock:
            return self.repo(kind, id).at(revision).oid

    def commit(
        self, kind: Kind, id: str, changes: Mapping[str, bytes | None], revision: str = "main"
    ) -> Commit:
        """Change files behind the client's back, as another user's push would; `None` deletes."""
        with self._api.lock:
            repo = self.repo(kind, id)
            return repo.seed(changes, repo.head(revision), "a push from elsewhere")

    def plan(self, method: str, pattern: str, faults: Iterable[Fault]) -> Plan:
        """Let the next requests whose path and query match the pattern meet these faults.

        One request meets one fault; after the last one requests are served again. The pattern
        is searched for, not matched from the start.
        """
        return self._listener.plans.add(method, pattern, faults)

    def forget_plans(self) -> None:
        """Drop the faults that no request has met."""
        self._listener.plans.clear()

    @property
    def regular_only(self) -> bool:
        """Whether every file is taken within the commit, none through LFS."""
        return self._api.regular_only

    @regular_only.setter
    def regular_only(self, wanted: bool) -> None:
        self._api.regular_only = wanted

    @property
    def collections(self) -> dict[str, dict]:
        """Collections by slug, with their items."""
        return self._api.collections

    @property
    def requests(self) -> list[Request]:
        """What was asked so far, in the order of the answers."""
        return list(self._listener.log)

    def _answer(self, call: Call) -> Reply:
        if self.before_each is not None:
            with self._api.lock:
                self.before_each(call)
        return self._api.answer(call)


_ROLES = ("write", "read")
