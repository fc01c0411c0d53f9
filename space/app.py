"""A page that samples antibody chains from one model, the one that HFBIO_MODEL names.

Started by `hfbio space launch` and, on the Hub, by the Space that `hfbio space create` makes. Loads
one model when it starts; trains nothing and keeps nothing of what visitors ask.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
import torch

import hfbio
from hfbio.errors import HfbioError, SettingError
from hfbio.model import AntibodyModel
from hfbio.report.designs import write_designs

# What one visitor may ask, so that the next one has a turn.
MAX_DESIGNS = 64
MAX_SEED = 2**31 - 1
MAX_TEMPERATURE = 2.0
MAX_SECONDS = 300.0  # of sampling for one request
MAX_WAITING = 20  # requests in the queue; one runs at a time

ANY = "any"
COLUMNS = ["id", "sequence", "locus", "valid"]
# Fonts of the visitor's machine: a page that asks other servers for fonts tells them who reads it.
THEME = gr.themes.Default(
    primary_hue="teal",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)


def page(model: AntibodyModel, name: str) -> gr.Blocks:
    """The page of one model.

    Args:
        model: what to sample from.
        name: what visitors are told it is called.
    """
    files = TemporaryDirectory(prefix="hfbio-space-")

    def generate(
        num: float,
        length: float,
        seed: float,
        temperature: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008, gradio finds it by its default
        **tags: str,
    ) -> tuple[list[list[object]], str, str]:
        """Sample valid, distinct chains; the same request gives the same chains."""
        try:
            request = hfbio.Request(
                num=_whole("designs", num, 1, MAX_DESIGNS),
                seed=_whole("seed", seed, 0, MAX_SEED),
                length=_whole("length", length, 0, model.base.max_residues) or None,
                conditions={tag: value for tag, value in tags.items() if value != ANY},
            )
            sampler = model.blank_sampler(temperature=_number("temperature", temperature))
            deadline = time.monotonic() + MAX_SECONDS

            def in_time(_: object) -> None:
                if time.monotonic() > deadline:
                    raise SettingError(
                        f"this took more than {MAX_SECONDS:.0f} s; ask for fewer designs"
                    )

            designs = model.sample(
                request,
                sampler=sampler,
                progress=lambda kept, drawn: progress((kept, request.num), unit="designs"),
                watch=in_time,
            )
        except HfbioError as error:
            raise gr.Error(str(error), print_exception=False) from None
        # One request runs at a time, and gradio copies the file before the next one starts.
        written = write_designs(designs, Path(files.name) / "designs.fasta")
        rows = [[d.sequence_id, d.sequence_aa, d.locus, d.valid] for d in designs.kept]
        return rows, str(written.path), str(written).partition("\ndesigns ")[0]

    with gr.Blocks(
        title="Antibody designs", analytics_enabled=False, delete_cache=(3600, 3600)
    ) as blocks:
        gr.Markdown(f"# Antibody designs\nSampled from `{name.replace('`', '')}`.")
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                boxes = {
                    tag: gr.Dropdown(_choices(values), label=tag.replace("_", " "))
                    for tag, values in model.tags.values.items()
                }
                num = gr.Slider(1, MAX_DESIGNS, value=8, step=1, label="designs")
                length = gr.Number(
                    0 if model.manifest else min(120, model.base.max_residues),
                    label="length",
                    info="residues; 0: as in the training data" if model.manifest else "residues",
                    precision=0,
                    minimum=0 if model.manifest else 1,
                    maximum=model.base.max_residues,
                )
                seed = gr.Number(0, label="seed", precision=0, minimum=0, maximum=MAX_SEED)
                temperature = gr.Slider(
                    0,
                    MAX_TEMPERATURE,
                    value=model.sampler().temperature,
                    step=0.05,
                    label="temperature",
                )
                button = gr.Button("Generate", variant="primary")
            with gr.Column(scale=3):
                table = gr.Dataframe(
                    headers=COLUMNS,
                    datatype=["str", "str", "str", "bool"],
                    column_widths=["120px", "420px", "60px", "60px"],
                    label="designs",
                    interactive=False,
                    wrap=True,
                )
                fasta = gr.File(label="FASTA", interactive=False, height=110)
                account = gr.Textbox(label="account", interactive=False, lines=2)
        button.click(
            generate,
            inputs=[num, length, seed, temperature],
            inputs_kwargs=boxes,
            outputs=[table, fasta, account],
            api_name="generate",
            concurrency_limit=1,
        )
    return blocks


def main() -> None:
    """Load the model, then serve the page; a fault of the settings ends it with one line."""
    name = os.environ.get("HFBIO_MODEL", "")
    if not name:
        sys.exit("hfbio: set HFBIO_MODEL to a Hub id, a run folder or a catalogue alias")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = hfbio.load(name, revision=os.environ.get("HFBIO_REVISION") or None, device=device)
    except HfbioError as error:
        sys.exit(f"hfbio: {error}")
    try:
        shown = Path(name).name if Path(name).is_dir() else name  # no folders of this machine
        page(model, shown).queue(max_size=MAX_WAITING).launch(theme=THEME, ssr_mode=False)
    except OSError as error:  # the port is taken
        sys.exit(f"hfbio: {error}")


def _choices(values: tuple[str, ...]) -> list[str]:
    return list(values) if len(values) == 1 else [ANY, *values]


def _whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number from a browser, which may send anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise SettingError(f"{name} must be a whole number from {low} to {high}")
    if not low <= value <= high:
        raise SettingError(f"{name} must be from {low} to {high}, got {value:g}")
    return int(value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingError(f"{name} must be a number from 0 to {MAX_TEMPERATURE:g}")
    if not 0 <= value <= MAX_TEMPERATURE:
        raise SettingError(f"{name} must be from 0 to {MAX_TEMPERATURE:g}, got {value:g}")
    return float(value)


if __name__ == "__main__":
    main()
