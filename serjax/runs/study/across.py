"""Answers of heads for corpora that they were not trained on, from the features that the other corpora's cells made."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serjax.checkpoints.run_models import load_heads, read_run
from serjax.evaluation.out_of_fold import OutOfFold, attribute_columns, write_oof_csv
from serjax.evaluation.report import evaluation_report
from serjax.runs.finetune import experiment_data
from serjax.runs.frozen_heads import in_head
from serjax.runs.setup import make_plan, set_up
from serjax.runs.study.cells import OOF, answer_folder, run_folder
from serjax.runs.study.protocols import cell_experiment
from serjax.runs.study.settings import Study, StudyCorpus, StudyEncoder
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError
from serjax.training.trials import Trial


def answer_others(study: Study, encoder: StudyEncoder, trained: StudyCorpus, command: str) -> None:
    """Let the heads of a run answer for every other corpus; results that are there stay.

    Heads of all folds and seeds answer, and the mean of their probabilities counts.

    Args:
        study: its settings, classes included.
        encoder: of the heads.
        trained: the corpus that they were trained on.
        command: by which the study was asked for.

    Raises:
        UserError: a corpus cannot be read, or results cannot be written.
    """
    run = run_folder(study, encoder.name, trained.name)
    failed = []
    for corpus in study.corpora:
        folder = answer_folder(study, encoder.name, trained.name, corpus.name)
        if corpus.name == trained.name or (folder / "report.json").is_file():
            continue
        try:
            answers, notes = _answers(study, encoder, corpus, run)
        except UserError as error:
            failed.append(f"{corpus.name}: {error}")
            continue
        name = f"{encoder.name} from {trained.name} on {corpus.name}"
        report = evaluation_report(answers, name=name, seed=study.seed, notes=notes)
        write_oof_csv(folder / OOF, answers)
        text = json.dumps(report | {"model": str(run), "command": command}, indent=2, allow_nan=False)
        write_text(folder / "report.json", text + "\n")
    if failed:
        raise UserError(" ".join(failed))


def _answers(study: Study, encoder: StudyEncoder, corpus: StudyCorpus, run: Path) -> tuple[OutOfFold, Sequence[str]]:
    """Return the mean answers of a run's heads for all clips of a corpus, and what is to be said of the clips.

    The engine is that which trains heads on the corpus, so that stored features are found again.
    """
    experiment = cell_experiment(study, encoder, corpus)
    data = experiment_data(experiment)
    members = read_run(run).trained
    everything = tuple(range(len(data.store)))
    trials = [Trial(fold, seed, 1.0, everything, everything, everything) for fold, seed in members]
    setup = set_up(experiment, data, trials, make_plan(experiment))
    labels, heads = load_heads(run)
    if labels != data.labels:
        raise UserError(
            f"{run}: its heads tell {', '.join(labels)} apart, {corpus.name} has {', '.join(data.labels)}; give "
            "the study another --name."
        )
    found = setup.engine.predict(setup.engine.axis.shard(in_head(heads)), "test")
    clips = data.store.utterances
    return OutOfFold(
        ids=tuple(clip.id for clip in clips),
        fold=np.ones(len(clips), int),
        label=data.classes,
        probability=np.stack(found).mean(0),
        speaker=tuple(clip.speaker for clip in clips),
        labels=data.labels,
        attributes=attribute_columns([clip.attributes for clip in clips]),
    ), data.corpus_notes
