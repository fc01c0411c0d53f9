# /// script
# requires-python = ">=3.11"
# dependencies = ["hfbio"]
# ///
"""Fine-tune a protein language model on antibodies.

    python recipes/finetune.py --config recipes/configs/quickstart.yaml --learning_rate 3e-4
    accelerate launch --config_file recipes/accelerate/ddp.yaml recipes/finetune.py --config …
    torchrun --nproc_per_node 8 recipes/finetune.py --config …
    python recipes/finetune.py --config … --resume_from_checkpoint true
    python recipes/finetune.py --config … --push_to_hub true --hub_model_id USER/REPO

Any field of `FinetuneConfig`, and so of transformers.TrainingArguments, is a flag; flags win over
the YAML file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hfbio.errors import HfbioError
from hfbio.hub import Publisher
from hfbio.report import write_report
from hfbio.train import finetune, read_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="a YAML recipe")
    known, flags = parser.parse_known_args()

    # 1. Settings: the recipe holds the choices, flags override them.
    config = read_config(known.config, flags)

    # 2. Whoever wants to publish is told now, not after hours, what the Hub would refuse.
    publisher = Publisher(config) if config.push_to_hub else None

    # 3. The run: data, base, adapter, training, and the same held-out masks before and after.
    run = finetune(config, [publisher] if publisher else [])

    # 4. The processes part: nothing more is to be said between them, and a push may take long.
    config.distributed_state.destroy_process_group()

    # 5. The report, and the way to the Hub, from the main process alone.
    if config.process_index == 0:
        print(write_report(run.metrics, run.folder))
        if publisher:
            print(publisher.finish(run.folder))


if __name__ == "__main__":
    try:
        main()
    except HfbioError as error:
        sys.exit(f"{Path(__file__).name}: {error}")
