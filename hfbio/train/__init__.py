"""Fine-tuning: settings, a thin Trainer with losses as sums, and the story of a run."""

from hfbio.train.config import FinetuneConfig, read_config
from hfbio.train.finetune import Finetuned, finetune
from hfbio.train.pretrain import pretrain

__all__ = ["FinetuneConfig", "Finetuned", "finetune", "pretrain", "read_config"]
