"""The run folder: what a run may start from, and how its bundle takes an earlier one's place.

A folder with hfbio.json is a finished run. Knows names and moves files; writes no weights.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from transformers import TrainingArguments

from hfbio.bundle import LATENT_MAP, MANIFEST, SKETCH
from hfbio.errors import SettingError

_STATE: Final = "trainer_state.json"  # what Trainer writes last into a checkpoint
_STALE: Final = (
    *("adapter_config.json", "adapter_model.*", "config.json", "generation_config.json"),
    *("model.safetensors*", "model-*.safetensors", "merged", "README.md", "report.html"),
    *(SKETCH, LATENT_MAP),
)
"""What another method or another run leaves in a bundle and this one may not replace."""


def find_checkpoint(config: TrainingArguments) -> Path | None:
    """The checkpoint that ``resume_from_checkpoint`` asks for; ``None`` for a fresh start.

    ``true`` means the last complete one in ``output_dir``. One that a killed process left
    unfinished is passed over.

    Raises:
        SettingError: there is none, the named folder is none, or a fresh start would overwrite
            the checkpoints of a run that did not finish.
    """
    folder = Path(str(config.output_dir))
    asked = str(config.resume_from_checkpoint or "false")
    complete = _checkpoints(folder)
    if asked.lower() == "false":
        if complete and not (folder / MANIFEST).is_file():
            raise SettingError(
                f"{folder} holds checkpoints of a run that did not finish, the last one "
                f"{complete[-1].name}; go on with --resume_from_checkpoint true, remove the "
                "folder, or name another output_dir"
            )
        return None
    if asked.lower() == "true":
        if not complete:
            raise SettingError(
                f"{folder} holds no complete checkpoint to resume from; start without "
                "resume_from_checkpoint, and save some with save_strategy and save_steps"
            )
        return complete[-1]
    if not Path(asked, _STATE).is_file():
        raise SettingError(f"resume_from_checkpoint: {asked} is no folder with a {_STATE}")
    return Path(asked)


def clear_checkpoints(folder: Path) -> None:
    """Remove the complete checkpoints of an earlier run, lest a later one resumes from them."""
    for checkpoint in _checkpoints(folder):
        shutil.rmtree(checkpoint)


def retire(folder: Path) -> None:
    """Let ``folder`` be no bundle any more; its weights stay where they are."""
    (folder / MANIFEST).unlink(missing_ok=True)


@contextmanager
def staged_bundle(folder: Path) -> Iterator[Path]:
    """A folder to write a bundle into, whose files then take the place of those in ``folder``.

    hfbio.json goes first and comes last: a process that is killed leaves the old bundle, the new
    one, or none, but never a mixture that loads. What else ``folder`` holds stays.
    """
    partial = folder / ".bundle.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        retire(folder)
        for old in (path for pattern in _STALE for path in folder.glob(pattern)):
            _remove(old)
        for new in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
            _remove(folder / new.name)
            os.replace(new, folder / new.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints by step."""
    steps = {
        int(path.name.removeprefix("checkpoint-")): path
        for path in folder.glob("checkpoint-*")
        if re.fullmatch(r"checkpoint-\d+", path.name) and path.joinpath(_STATE).is_file()
    }
    return [steps[step] for step in sorted(steps)]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
