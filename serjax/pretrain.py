"""Pretrain on a corpus: `python -m serjax.pretrain --exp NAME`, or one step of it, `labels` or `masked`.

Frames get labels, as clusters of an encoder's layer or of MFCC, and an encoder learns to predict those of masked
frames. By default every fold has an encoder of its own that has heard no clip the fold tests; `serjax.train` takes the
run folder as --model.checkpoint. With steps=cpt, four more steps align frames with emotion (`pretraining.alignment`).
"""

import json
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from flax import nnx
from rich.console import Console

from serjax import cli, pretrain_rules
from serjax.checkpoints.centres import read_centres
from serjax.checkpoints.encoders import PRETRAINED, Encoders, find_encoders
from serjax.checkpoints.trunk import Trunk, find_trunk
from serjax.config import ModelConfig
from serjax.disk import write_text
from serjax.errors import UserError
from serjax.prepare import write_folds
from serjax.pretrain_config import PretrainExperiment
from serjax.pretraining.findings import write_page
from serjax.pretraining.labels import make_labels
from serjax.pretraining.masked import predict_masked
from serjax.pretraining.material import Material, as_training, read_material
from serjax.run_folder import begin_run, claim, end_run, find_run
from serjax.training.encode import fingerprint

Step = Literal["labels", "masked"]
"""One of a pretraining's two steps."""


def main(argv: Sequence[str]) -> int:
    """Pretrain what the command line asks for."""
    step: Step | None = None
    if argv and argv[0] in ("labels", "masked"):
        step, argv = ("labels" if argv[0] == "labels" else "masked"), argv[1:]
    experiment = cli.parse("serjax.pretrain", argv, PretrainExperiment, "tapt_hubert")
    command = f"python -m serjax.pretrain {shlex.join([*([step] if step else []), *argv])}"
    if experiment.steps == "cpt":
        from serjax.pretraining.alignment import align  # it calls what is here

        if step is not None:
            raise UserError(f"{step} is a step of a pretraining, but steps is cpt; leave out {step}, or say tapt.")
        align(experiment, command, Console())
    else:
        pretrain(experiment, command, Console(), step)
    return 0


def pretrain(experiment: PretrainExperiment, command: str, console: Console, step: Step | None = None) -> None:
    """Make labels and predict them masked, or go on where an earlier call stopped.

    Args:
        experiment: what to do.
        command: by which it was asked for, for the page that is written.
        console: shows how it goes.
        step: the one to do; by default both. `masked` wants the labels that `labels` left.

    Raises:
        UserError: clips, encoders, labels or the run folder are not as they must be.
    """
    pretrain_rules.check(experiment)
    with claim(experiment):
        _pretrain(experiment, command, console, step)


def _pretrain(experiment: PretrainExperiment, command: str, console: Console, step: Step | None) -> None:
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    begun = find_run(experiment)
    if step == "masked" and not begun:
        raise UserError(f"{experiment.run_dir}: there are no labels of this experiment; make them by the step labels.")
    settings = experiment.labels
    encoders = None
    if settings.of == "layer":
        source = settings.checkpoint or experiment.model.checkpoint
        assert source is not None
        encoders = find_encoders(source)
    start = _start(experiment)
    # Often one run gives both, labels and start.
    known = list({one.source: one for one in (encoders, start.encoders) if one is not None}.values())
    for one in known:
        _check_apart(experiment, one)
    material = read_material(experiment, say, by_fold=not all(one.shared for one in known))
    for one in known:
        for part in material.parts:
            one.check(part.fold, [material.clips.names[i] for i in part.tested])
    for note in start.notes:
        say(note)
    begin_run(experiment, begun, _made_from(experiment, material, start, known))
    if material.data is not None:
        write_folds(as_training(experiment), material.data)
    labels = make_labels(experiment, material, encoders, say)
    if step == "labels":
        say(f"Labels are in {experiment.run_dir}.")
        return
    predict_masked(experiment, material, labels, start, console, say)
    warning = next((one.warning for one in known if one.warning is not None), None)
    write_page(experiment, material, labels, command, warning)
    folds = [part.fold for part in material.parts if part.fold]
    made = {"corpus": experiment.tapt.corpus if warning is None else "all", "folds": folds}
    write_text(experiment.run_dir / PRETRAINED, json.dumps(made) + "\n")
    end_run(experiment)
    say(f"Written to {experiment.run_dir}: README.md and, of each fold or for all, encoder, labels and centres.")


def _check_apart(experiment: PretrainExperiment, encoders: Encoders) -> None:
    """See that encoders outlive the beginning of this run, and that their folds are those of its clips.

    Raises:
        UserError: they are in the run folder, or each fold has one and the recordings have no folds.
    """
    if any(Path(folder).absolute().is_relative_to(experiment.run_dir) for folder in encoders.folders.values()):
        raise UserError(f"{encoders.source}: it is this very run; give the new one another --name.")
    if experiment.tapt.corpus == "unlabelled" and not encoders.shared:
        raise UserError(
            f"{encoders.source}: each fold has an encoder of its own there, but unlabelled recordings have no folds; "
            f"give one encoder, such as {encoders.folders[min(encoders.folders)]}."
        )


def _start(experiment: PretrainExperiment) -> Trunk:
    """Return what masked prediction starts from.

    Raises:
        UserError: it is no HuBERT.
    """
    model = experiment.model
    trunk = find_trunk(ModelConfig(family="hubert", size=model.size, checkpoint=model.checkpoint))
    if trunk.config.model_type != "hubert":
        raise UserError(f"--model.checkpoint {model.checkpoint}: it is a {trunk.config.model_type}; give a HuBERT.")
    return trunk


def _made_from(experiment: PretrainExperiment, material: Material, start: Trunk, known: Sequence[Encoders]) -> str:
    """Return a fingerprint of all that the run rests on and that the experiment does not say."""
    parts = [tuple(part) for part in material.parts]
    weights = [fingerprint(nnx.state(one.of(fold).encoder, nnx.Param)) for one in known for fold in one.folders]
    path = experiment.labels.centres
    centres = () if path is None else read_centres(Path(path))
    return fingerprint(material.clips.hashes, parts, weights, start.config, centres)


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
