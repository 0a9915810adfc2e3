"""Frame-level emotional state alignment: pretraining, fine-tuning, labels of the fine-tuned frames, and both again.

Each step is a run of its own below the run folder, which later calls find finished or go on with:

1. `1_tapt`: labels and masked prediction, as `serjax.pretrain` does by itself;
2. `2_finetune`: a classifier of every fold, from the first step's encoders;
3. and 4. `3_cpt`: clusters of the classifiers' frames, and masked prediction of these, from the first start again;
5. `4_finetune`: a classifier of every fold, from these encoders.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from serjax.config.experiment import Experiment, cache_folder
from serjax.config.pretraining import PretrainExperiment
from serjax.config.registry import find
from serjax.data.store.frame_labels import FrameLabels
from serjax.evaluation.comparison import compare
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.evaluation.report import Report
from serjax.evaluation.tables import SCORES, percent
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.runs.folder import AnyExperiment, begin_run, claim, end_run, find_run, is_finished
from serjax.runs.pretraining.corpus import Material, as_training, read_material
from serjax.runs.pretraining.labels import LABELS, part_folder
from serjax.runs.pretraining.report import looked_at, spreads_of, write_spreads
from serjax.runs.pretraining.run import pretrain
from serjax.runs.starts import PRETRAINED, find_encoders
from serjax.runtime.constraints import validate
from serjax.runtime.disk import write_text
from serjax.runtime.distributed import from_first
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)

TAPT, FINETUNE, CPT, AGAIN = "1_tapt", "2_finetune", "3_cpt", "4_finetune"
"""Folders of the steps."""


def align(experiment: PretrainExperiment, command: str) -> Report:
    """Make all steps that are not finished yet, and a page that compares both fine-tunings.

    Args:
        experiment: what to do.
        command: by which it was asked for.

    Returns:
        The contents of pretrained.json.

    Raises:
        UserError: what any of the steps raises.
    """
    validate(experiment)
    tapt, cpt = _pretrainings(experiment)
    first, last = (_finetuning(experiment, name, source) for name, source in ((FINETUNE, tapt), (AGAIN, cpt)))
    for one in (first, last):
        validate(one)
    with claim(experiment):
        from_first("run folder", lambda: begin_run(experiment, find_run(experiment), ""))
        steps: tuple[tuple[str, AnyExperiment], ...] = (
            ("step 1: pretraining on the corpus", tapt),
            ("step 2: fine-tuning", first),
            ("steps 3 and 4: pretraining on labels of the fine-tuned frames", cpt),
            ("step 5: fine-tuning", last),
        )
        for title, step in steps:
            log.info(title)
            if from_first("finished", partial(is_finished, step)):
                log.info(f"{step.run_dir} is finished.")
            elif isinstance(step, PretrainExperiment):
                pretrain(step, command)
            else:
                train(step, command)

        material = read_material(cpt, by_fold=True)

        def write() -> None:
            _write(experiment, command, (tapt, cpt), (first, last), material)
            end_run(experiment)

        from_first("page", write)
        return {"step": CPT}


def _pretrainings(experiment: PretrainExperiment) -> tuple[PretrainExperiment, PretrainExperiment]:
    """Return steps 1, and 3 and 4."""
    cache = str(cache_folder(as_training(experiment)))
    tapt = replace(
        experiment,
        name=TAPT,
        out=str(experiment.run_dir),
        data=replace(experiment.data, cache=cache),
        steps="tapt",
        overwrite=False,
    )
    align = experiment.align
    labels = replace(align.labels, checkpoint=str(experiment.run_dir / FINETUNE))
    return tapt, replace(tapt, name=CPT, labels=labels, masked=align.masked)


def _finetuning(experiment: PretrainExperiment, name: str, source: PretrainExperiment) -> Experiment:
    found = find(experiment.align.finetune, Experiment)
    if not isinstance(found.model, Speech):
        raise UserError(f"align.finetune is {experiment.align.finetune}, which trains no encoder; give hubert_align.")
    # How a clip becomes an input is the fine-tuning's own; which clips there are is the pretraining's.
    own = found.data
    return replace(
        found,
        name=name,
        out=str(experiment.run_dir),
        data=replace(source.data, max_seconds=own.max_seconds, eval_crop=own.eval_crop),
        folds=experiment.folds,
        mesh=experiment.mesh,
        model=replace(found.model, checkpoint=str(source.run_dir), size=None),
        seed=experiment.seed,
    )


def _write(
    experiment: PretrainExperiment,
    command: str,
    pretrainings: Sequence[PretrainExperiment],
    finetunings: Sequence[Experiment],
    material: Material,
) -> None:
    """Write README.md, and the spreads of both labels side by side."""
    part, data = material.parts[0], material.data
    assert data is not None
    spreads = {}
    for title, one in zip(("TAPT", "CPT"), pretrainings, strict=True):
        folder = part_folder(one.run_dir, part)
        folder = folder if (folder / LABELS).is_dir() else one.run_dir
        spreads[title] = spreads_of(FrameLabels(folder / LABELS), data, looked_at(part, data))
    rows = [f"| fine-tuned from | {' | '.join(SCORES.values())} |", f"|---|{'---:|' * len(METRICS)}"]
    before, after = (read_oof_csv(one.run_dir / "oof.csv") for one in finetunings)
    found = compare((AGAIN, after), (FINETUNE, before), experiment.seed)
    for title, scored in (
        (f"[TAPT]({FINETUNE})", found.theirs),
        (f"[CPT]({AGAIN})", found.ours),
        ("CPT less TAPT", found.difference),
    ):
        cells = [f"{percent(score)} ({percent(low)} to {percent(high)})" for score, low, high in scored.values()]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    warning = find_encoders(str(pretrainings[1].run_dir)).warning
    page = [
        f"# {experiment.name}: frame-level emotional state alignment",
        "",
        "Out-of-fold scores in %, with 95 % intervals; that of the difference is of both on the same draws.",
        *([] if warning is None else ["", warning]),
        "",
        *rows,
        "",
        "## What the labels say",
        "",
        write_spreads(experiment.run_dir, spreads, f"the clips that fold {part.fold} tests"),
        "",
        f"Pages of the steps: [1]({TAPT}), [2]({FINETUNE}), [3 and 4]({CPT}), [5]({AGAIN}).",
        "",
        "## Command",
        "",
        f"    {command}",
        "",
    ]
    write_text(experiment.run_dir / "README.md", "\n".join(page))
    write_text(experiment.run_dir / PRETRAINED, json.dumps({"step": CPT}) + "\n")
    log.info("\n".join(rows))
    log.info(f"Written to {experiment.run_dir}: README.md and the folders of the steps.")
