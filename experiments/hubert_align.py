"""HuBERT fine-tuned with a mean of frames weighted by tanh(h . w), after frame-level emotional state alignment.

Command: python -m serjax.train --exp hubert_align --data.root IEMOCAP_full_release --folds.kind leave_session_out
    From other weights, such as those of a further pretraining: --model.checkpoint DIR
    From an scp list (name, path, label) with IEMOCAP's names: --data.root LIST.scp
    --data.speaker-pattern '^Ses(?P<speaker>[0-9]+)' --folds.kind leave_speaker_out leaves its sessions out.
Needs: a folder of recordings or a list, and facebook/hubert-base-ls960 (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: not measured; a GPU is advised. Less memory: --train.accumulate 8 or --model.remat.
Expect: not measured, as IEMOCAP could not be had. Published: Li et al., "Frame-level emotional state alignment method
    for speech emotion recognition", ICASSP 2024. The original reports the mean of validation and test scores at the
    best validation epoch; here test clips alone are scored, and other speakers validate.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: AdamW at a constant 1e-4 for 40 epochs, classes drawn evenly, crops of 6 s."""
    return Experiment(
        name="hubert_align",
        data=DataConfig(max_seconds=6.0),
        model=Speech(
            family="hubert",
            checkpoint="facebook/hubert-base-ls960",
            pooling="tanh_attention",
            head="linear",
            dropout=0.0,
            final_dropout=0.1,
            mask_time_prob=0.08,
        ),
        optimizer=OptimizerConfig(schedule="constant", max_lr=1e-4, weight_decay=1e-5, clip_norm=None),
        train=TrainConfig(epochs=40, batch_size=64, patience=40, balance="sampling"),
    )
