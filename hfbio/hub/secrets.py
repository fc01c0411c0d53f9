"""A last look at what is about to be published: tokens, passwords, paths of this machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from huggingface_hub import get_token

from hfbio.errors import SecretError

# Forms that the issuers document: prefix and alphabet of each kind of token.
_PATTERNS: Final = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}",
    "a GitHub token": r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "an AWS key": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",
    "an OpenAI or Anthropic key": r"\bsk-(ant-)?[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\b[a-z]+://[^\s/:@\"']+:[^\s/@\"']+@",
    "a line of an .env file": r"^\s*(export\s+)?"
    r"[A-Z0-9_]*(TOKEN|SECRET|PASSWORD|API_?KEY)[A-Z0-9_]*\s*=\s*\S{8,}",
    # From the root, up to four folders down, as clusters have it: /mnt/nfs/home/ada. Neither in the
    # middle of a relative path, merged/root, nor after a host, https://example.org/home/page.
    "a path of somebody's home": r"(?:(?<=file://)|(?<=\\[nrt])|(?<![\w./~)%-]))(?:/root(?:/|\b)"
    r"|(?:/[^/\s\"'<>]+){0,4}/(?:homes?|[Uu]sers|g?scratch)/[^/\s\"'<>])"
    r"|\b[A-Za-z]:\\+Users\\+[^\\\s\"']+",
}
_SECRET_NAME: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST: Final = 12  # of an environment variable's value that is looked for: not "true" or "1"
_TEXT: Final = (".json", ".md", ".cff", ".txt")


def require_no_secrets(
    files: Mapping[str, Path], environment: Mapping[str, str] = os.environ
) -> None:
    """Look through every file.

    Texts are searched line by line for the forms of known tokens, private keys and home folders.
    Every file, weights too, is searched for the token in use and for the values of environment
    variables whose names say that they are secret.

    Args:
        files: by their path in the repository.
        environment: whose secrets must not be found.

    Raises:
        SecretError: names file, line and kind of each find, and never shows the find itself.
    """
    known = {"the Hugging Face token in use": get_token() or ""} | {
        f"the value of ${name}": value
        for name, value in environment.items()
        if _SECRET_NAME.search(name)
    }
    literal = {what: value.encode() for what, value in known.items() if len(value) >= _SHORTEST}
    found = [place for name, path in files.items() for place in _search(name, path, literal)]
    if found:
        more = f", and {len(found) - 20} more" if len(found) > 20 else ""
        raise SecretError(
            f"not published: {'; '.join(found[:20])}{more}. Take it out of the run, and revoke a "
            "token that was written to a file"
        )


def _search(name: str, path: Path, literal: Mapping[str, bytes]) -> Iterator[str]:
    longest = max(map(len, literal.values()), default=0)
    kept = b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            window = kept + chunk
            for what, value in literal.items():
                if value in window:
                    yield f"{name} holds {what}"
            kept = window[-longest:] if longest else b""
    for number, line in enumerate(_text(path).splitlines(), 1):
        for what, pattern in _PATTERNS.items():
            if re.search(pattern, line):
                yield f"{name}, line {number}, holds {what}"


def _text(path: Path) -> str:
    """What people wrote into a file: all of a text, and of safetensors the header's metadata."""
    if path.suffix in _TEXT:
        return path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, 100_000_000)))
        return json.dumps(header.get("__metadata__", {}))
    return ""
