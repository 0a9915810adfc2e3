"""Pretrain on a corpus: `python -m serjax.pretrain --exp NAME`, or one step of it, `labels` or `masked`.

Frames get labels, as clusters of an encoder's layer or of MFCC, and an encoder learns to predict those of masked
frames. By default every fold has an encoder of its own that has heard no clip the fold tests; `serjax.train` takes the
run folder as --model.checkpoint. With steps=cpt, four more steps align frames with emotion (`pretraining.alignment`).
"""

import shlex
from collections.abc import Sequence

from serjax import cli
from serjax.config.pretraining import PretrainExperiment
from serjax.runs.pretraining.run import Step, pretrain
from serjax.runtime.errors import UserError


def main(argv: Sequence[str]) -> int:
    """Pretrain what the command line asks for."""
    step: Step | None = None
    if argv and argv[0] in ("labels", "masked"):
        step, argv = ("labels" if argv[0] == "labels" else "masked"), argv[1:]
    experiment = cli.parse("serjax.pretrain", argv, PretrainExperiment, "tapt_hubert")
    command = f"python -m serjax.pretrain {shlex.join([*([step] if step else []), *argv])}"
    if experiment.steps == "cpt":
        from serjax.runs.pretraining.alignment import align

        if step is not None:
            raise UserError(f"{step} is a step of a pretraining, but steps is cpt; leave out {step}, or say tapt.")
        align(experiment, command)
    else:
        pretrain(experiment, command, step)
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
