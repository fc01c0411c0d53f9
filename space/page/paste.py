"""The box that chains are pasted into, numbered while one types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from hfbio.errors import HfbioError
from hfbio.record import Antibody
from page import ask, show
from page.limits import LIMITS
from page.studio import Studio

# Trastuzumab (Carter et al. 1992; PDB 1N8Z).
HEAVY: Final = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS"
)
LIGHT: Final = (
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYC"
    "QQHYTTPPTFGQGTKVEIK"
)
LINKER: Final = "GGGGSGGGGSGGGGS"
EXAMPLES: Final = {
    "trastuzumab VH": f">trastuzumab_VH\n{HEAVY}",
    "trastuzumab VL": f">trastuzumab_VL\n{LIGHT}",
    "VH:VL": f">trastuzumab\n{HEAVY}:{LIGHT}",
    "scFv": f">trastuzumab_scFv\n{HEAVY}{LINKER}{LIGHT}",
}


@dataclass(frozen=True)
class Paste:
    """Widgets of one box."""

    text: gr.Textbox
    said: gr.HTML
    chain: gr.Radio

    def on_change(
        self, studio: Studio, more: Callable[..., Any], also: dict[str, list[Any]]
    ) -> None:
        """Read the box whenever it changes.

        Args:
            studio: reads.
            more: ``more(antibody or None, *values)`` gives what ``also["outputs"]`` get.
            also: ``inputs`` and ``outputs`` of ``more``.
        """
        inputs, outputs = also["inputs"], also["outputs"]

        def read(text: Any, chain: Any, *values: Any) -> tuple[Any, ...]:
            said, radio, picked = self._read(studio, text, chain)
            made = more(picked, *values)
            return said, radio, *(made if isinstance(made, tuple) else (made,))

        for event in (self.text.change, self.chain.input):
            event(
                read,
                [self.text, self.chain, *inputs],
                [self.said, self.chain, *outputs],
                api_visibility="private",
                preprocess=False,
                trigger_mode="always_last",
                show_progress="hidden",
                queue=False,
            )

    @staticmethod
    def _read(studio: Studio, text: Any, chain: Any) -> tuple[str, Any, Antibody | None]:
        try:
            found, said = studio.read(ask.text("sequence", text or "", LIMITS.characters))
        except HfbioError as error:
            return show.message(error), gr.update(visible=False), None
        told = "".join(f"<li>{show.escape(line)}</li>" for line in said[:10])
        if len(said) > 10:
            told += f"<li>and {len(said) - 10} more</li>"
        notes = f'<ul class="notes">{told}</ul>' if told else ""
        if not found:
            return notes, gr.update(visible=False), None
        at = chain if type(chain) is int and 0 <= chain < len(found) else 0
        names = [(name_of(record), i) for i, record in enumerate(found)]
        radio = gr.update(choices=names, value=at, visible=len(found) > 1)
        return notes, radio, found[at]


def name_of(antibody: Antibody) -> str:
    """A chain in a list of them."""
    kinds = ":".join(str(chain.locus) for chain in antibody.chains)
    return f"{antibody.sequence_id} ({kinds})"


def chosen(studio: Studio, text: str, chain: str) -> Any:
    """The choice among pasted chains as a link has it."""
    try:
        found, _ = studio.read(text)
    except HfbioError:
        return gr.skip()
    if not chain.isdecimal() or int(chain) >= len(found):
        return gr.skip()
    names = [(name_of(record), i) for i, record in enumerate(found)]
    return gr.update(choices=names, value=int(chain), visible=len(found) > 1)


def box(studio: Studio, label: str, what: str = "") -> Paste:
    """A box, examples of what it takes, and a choice among what was pasted."""
    text = gr.Textbox(
        label=label,
        lines=5,
        max_lines=8,
        max_length=LIMITS.characters,
        placeholder="EVQLVESGGG…   or FASTA, VH:VL, an scFv",
        info=what or None,
        elem_classes="sequence",
    )
    with gr.Row(elem_classes="examples"):
        gr.HTML("Examples", elem_classes="label")
        for name, example in EXAMPLES.items():
            if studio.read(example)[0]:
                button = gr.Button(name, size="sm", variant="secondary", min_width=90)
                button.click(None, None, text, js=f"() => {example!r}", api_visibility="private")
    said = gr.HTML(js_on_load=show.LIVE)
    chain = gr.Radio([], label="Which chain", visible=False)
    return Paste(text, said, chain)
