"""Pretrain on a corpus: `python -m serjax.pretrain --exp NAME`, or one step of it, `labels` or `masked`.

Frames get labels, as clusters of an encoder's layer or of MFCC, and an encoder learns to predict those of masked
frames. By default every fold has an encoder of its own, pretrained without the clips that the fold tests;
`serjax.train` takes the run folder as --model.checkpoint. With steps=cpt, four more steps align frames with emotion
(`pretraining.alignment`).
"""

import shlex
from collections.abc import Sequence
from typing import Literal

from serjax import cli


def main(argv: Sequence[str]) -> int:
    """Pretrain what the command line asks for."""
    from serjax.config.pretraining import PretrainExperiment

    step: Literal["labels", "masked"] | None = None
    rest = argv
    if argv and argv[0] in ("labels", "masked"):
        step, rest = ("labels" if argv[0] == "labels" else "masked"), argv[1:]
    experiment = cli.parse("serjax.pretrain", rest, PretrainExperiment, "tapt_hubert")

    from serjax.runs.run import run

    run(experiment, f"python -m serjax.pretrain {shlex.join(argv)}", step=step)
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
