"""Publishing a model in training, and when it is done. Trains nothing."""

from __future__ import annotations

import shutil
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch.distributed
from transformers import TrainerCallback
from transformers.trainer_utils import HubStrategy

from hfbio.card import write_card
from hfbio.errors import HfbioError, SettingError
from hfbio.hub.client import client
from hfbio.hub.payload import files_of, payload
from hfbio.hub.publish import Say, push
from hfbio.hub.remote import MAIN, Remote
from hfbio.hub.secrets import require_no_secrets
from hfbio.hub.target import Pushed, Target, require_welcome, require_writer
from hfbio.train import FinetuneConfig

_STATE: Final = (
    "trainer_state.json",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
)
"""What a resumed run needs beside the weights; the Trainer's own files, in torch's format."""


class Publisher(TrainerCallback):
    """Publishes checkpoints to a private repository while training goes on, and the run at its end.

    ``hub_strategy`` as in TrainingArguments: ``end`` publishes none, ``every_save`` weights and an
    interim card, ``checkpoint`` and ``all_checkpoints`` also what a resumed run needs, under
    ``last-checkpoint/`` or ``checkpoint-N/``. The upload runs beside the training, from the main
    process; a save during an upload is left out unless ``hub_always_push``. A failed upload is a
    warning: the run goes on, and the push at its end decides.
    """

    def __init__(self, config: FinetuneConfig) -> None:
        """Ask the Hub before the hours of training, not after them; on every process alike.

        Raises:
            HubError: no valid token, or the Hub cannot be reached.
            SettingError: the repository is public, and the run is to be private or to show
                unfinished models; or the base is a local folder.
        """
        if Path(config.model).is_dir() and config.method != "full":
            raise SettingError(
                f"the base {config.model} is a folder that nobody else has, so an adapter on it "
                "cannot be published; train without push_to_hub, then `hfbio push --merge`"
            )
        self._target = _target(config)
        self._strategy = HubStrategy(config.hub_strategy)
        self._always = config.hub_always_push
        self._uploads = ThreadPoolExecutor(max_workers=1)
        self._latest: Future[None] | None = None
        fault = _ask(self._target, self._strategy) if config.process_index == 0 else None
        if config.world_size > 1:
            told = [fault]
            torch.distributed.broadcast_object_list(told)
            fault = told[0]
        if fault is not None:
            raise fault

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Copy the newest checkpoint and start to upload the copy."""
        if not state.is_world_process_zero or self._strategy is HubStrategy.END:
            return
        if self._latest is not None and not self._latest.done() and not self._always:
            return
        checkpoint = Path(args.output_dir, f"checkpoint-{state.global_step}")
        step = (state.global_step, state.max_steps)
        kept = ExitStack()  # the checkpoint itself may be gone before its upload is
        try:
            folder = kept.enter_context(payload(checkpoint))
            write_card(folder, self._target.repo_id, example=None, step=step)
            files = files_of(folder) | self._state_files(checkpoint, folder)
            require_no_secrets(files)
        except (HfbioError, OSError) as error:
            kept.close()
            warnings.warn(f"step {step[0]} is not pushed: {error}", stacklevel=2)
            return
        self._latest = self._uploads.submit(self._upload, files, step, kept)

    def finish(self, run: Path, say: Say = lambda _: None) -> Pushed:
        """Wait for the last upload, then `push` the finished run; for the main process alone.

        Raises:
            HfbioError: as `push`; the run is complete all the same, and can be pushed later.
        """
        self._uploads.shutdown()
        return push(run, self._target, say=say)

    def _state_files(self, checkpoint: Path, folder: Path) -> dict[str, Path]:
        if self._strategy is HubStrategy.EVERY_SAVE:
            return {}
        all_of_them = self._strategy is HubStrategy.ALL_CHECKPOINTS
        name = checkpoint.name if all_of_them else "last-checkpoint"
        copied = {}
        for path in sorted(path for pattern in _STATE for path in checkpoint.glob(pattern)):
            target = folder / name / path.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
            copied[f"{name}/{path.name}"] = target
        return copied

    def _upload(self, files: dict[str, Path], step: tuple[int, int], kept: ExitStack) -> None:
        with kept:
            try:
                remote = Remote(client(), self._target.repo_id)
                if remote.private is False:  # since the training began
                    raise SettingError(f"{remote.repo_id} is public, and the model is unfinished")
                if not remote.exists:
                    remote.create()
                branch = self._target.revision
                head = remote.head(branch)
                if head is None:
                    head = remote.head(MAIN) or MAIN
                    remote.create_branch(branch, head)
                if commit := remote.plan(files, head, f"Step {step[0]} of {step[1]}"):
                    remote.commit(commit, branch, head)
            except Exception as error:  # whatever it is, the training goes on and tells of it
                warnings.warn(f"step {step[0]} was not pushed: {error}", stacklevel=2)


def _target(config: FinetuneConfig) -> Target:
    return Target(
        str(config.hub_model_id),
        public=config.hub_private_repo is False,
        revision=config.hub_revision or MAIN,
    )


def _ask(target: Target, strategy: HubStrategy) -> HfbioError | None:
    """What speaks against this target, found out before training."""
    try:
        api = client()
        require_writer(api, target)
        require_welcome(Remote(api, target.repo_id), target)
        if target.public and strategy is not HubStrategy.END:
            return SettingError(
                f"{target.repo_id} is to be public, and hub_strategy {strategy.value} would show "
                "unfinished models in its history; use --hub_strategy end"
            )
    except HfbioError as error:
        return error
    return None
