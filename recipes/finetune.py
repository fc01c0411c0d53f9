# /// script
# requires-python = ">=3.11"
# dependencies = ["hfbio"]
# ///
"""Fine-tune a protein language model on antibodies.

    python recipes/finetune.py --config recipes/configs/quickstart.yaml --learning_rate 3e-4
    accelerate launch --config_file recipes/accelerate/ddp.yaml recipes/finetune.py --config …
    torchrun --nproc_per_node 8 recipes/finetune.py --config …
    python recipes/finetune.py --config … --resume_from_checkpoint true

Any field of `FinetuneConfig`, and so of transformers.TrainingArguments, is a flag; flags win over
the YAML file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from accelerate import PartialState

from hfbio.errors import HfbioError
from hfbio.report import write_report
from hfbio.train import finetune, read_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="a YAML recipe")
    known, flags = parser.parse_known_args()

    # 1. Settings: the recipe holds the choices, flags override them.
    config = read_config(known.config, flags)

    # 2. The run: data, base, adapter, training, and the same held-out masks before and after.
    run = finetune(config)

    # 3. The report, from the main process alone.
    if config.process_index == 0:
        print(write_report(run.metrics, run.folder))

    # 4. The processes part, once nothing more is to be said between them.
    PartialState().destroy_process_group()


if __name__ == "__main__":
    try:
        main()
    except HfbioError as error:
        sys.exit(f"{Path(__file__).name}: {error}")
