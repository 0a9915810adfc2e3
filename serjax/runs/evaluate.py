"""Evaluation of a finished run's ensemble, or of a published classifier, on labelled clips."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from serjax.audio import SAMPLE_RATE
from serjax.data.config import DataConfig
from serjax.data.corpora.read import describe, read_corpus
from serjax.data.known_clips import read_adapted, read_known
from serjax.data.store.clips import ClipStore, open_store
from serjax.data.store.decoded import THREADS, content_hash
from serjax.data.utterance import Utterance
from serjax.evaluation.calibration_plot import reliability_figure
from serjax.evaluation.model_card import evaluation_page
from serjax.evaluation.out_of_fold import OutOfFold, attribute_columns, read_oof_csv, write_oof_csv
from serjax.evaluation.plots import confusion_figure, save_png
from serjax.evaluation.report import Report, evaluation_report
from serjax.inference.batched import BATCH
from serjax.inference.ensemble import Ensemble, LongClips
from serjax.inference.load import load
from serjax.models.base import DType
from serjax.models.published import LayerSum
from serjax.runs.evaluate_values import value_answers, value_report, value_task, write_values
from serjax.runs.processes import check_versions
from serjax.runtime import distributed
from serjax.runtime.constraints import validate
from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.errors import MissingPackage, UserError, one_of
from serjax.runtime.fingerprint import fingerprint

log = logging.getLogger(__name__)

_CHUNK = 32 * BATCH
"""Clips that are held in memory at once."""


def evaluate(
    source: str | Path,
    data: DataConfig,
    *,
    out: str | Path | None = None,
    weights: Sequence[float] | None = None,
    dtype: DType | None = None,
    highpass: float | None = None,
    long_clips: LongClips = "windows",
    raw: bool = False,
    only: Sequence[str] | None = None,
    task: str | None = None,
    layer_sum: LayerSum | None = None,
    ranges: Sequence[str] = (),
    seed: int = 0,
    overwrite: bool = False,
    command: str = "serjax.runs.evaluate.evaluate(...)",
) -> Report:
    """Score a model on labelled clips, write a folder of results, and return the report.

    Clips are filtered, cut and cleared of silence as the run's own were: `data` says only which clips there are.
    Several processes (`serjax.runtime.distributed`) share the clips; the first writes.

    Args:
        source: folder of a finished run; or a Hugging Face directory or hub id of a classifier.
        data: the clips and their labels, which must be labels of the model; `data.label_map` translates them.
        out: folder of the results; by default `evaluation` in the run folder, or in the working folder.
        weights: how much each fold counts; equally by default.
        dtype: what to compute in.
        highpass: cutoff in Hz of the high-pass filter; by default what the run was trained with.
        long_clips: how clips are answered that are longer than the models hear, see `serjax.load`.
        raw: leave out the temperatures of calibration, see `serjax.load`.
        only: classes that are told apart; all by default.
        task: task of a run with several; the first by default.
        layer_sum: of a published classifier, as for `serjax.load`.
        ranges: of the corpus's values, such as `arousal=1:7`, for a published model that gives values from 0 to 1; a
            run knows its own.
        seed: decides the draws of the intervals, and the clips that `data.max_clips` chooses.
        overwrite: delete the results of an earlier evaluation in `out`.
        command: by which it was asked for, for the page.

    Raises:
        UserError: model, clips or labels that cannot be used, or `out` holds an evaluation.
    """
    validate(data)
    for name in ("max_seconds", "eval_crop", "vad", "highpass"):
        if getattr(data, name) != getattr(DataConfig(), name):
            instead = " or give highpass" if name == "highpass" else ""
            raise UserError(f"data.{name} is given, but it is the run's own; leave it out{instead}.")
    run_dir = Path(source).expanduser()
    folder = Path(out) if out is not None else (run_dir if run_dir.is_dir() else Path()) / "evaluation"
    distributed.from_first("evaluation", lambda: _check_free(folder, overwrite))
    check_versions()
    ensemble = load(source, weights, dtype, highpass, long_clips, raw, only, task, layer_sum)
    asked_values = value_task(ensemble, ranges, str(source)) if ensemble.outputs == "identity" else None
    if asked_values is None and ranges:
        raise UserError(f"ranges are of values, but {source} tells classes apart; leave them out.")
    for note in ensemble.notes:
        log.info(note)
    cache = Path(data.cache or (run_dir.parent if run_dir.is_dir() else "checkpoints")).absolute()
    corpus, clips, scores, notes, digests = _answers(ensemble, data, cache, seed)
    notes += _known_notes(run_dir, ensemble, [clip.id for clip in clips], digests)
    if ensemble.long_clips == "windows" and ensemble.max_seconds is not None:
        notes.append(
            f"Clips above {ensemble.max_seconds:g} s are answered by the mean over windows; the scores of a run's own "
            "report are of the stretch that --head hears."
        )
    name, shares = f"{run_dir.name} on {corpus}", ensemble.outputs == "softmax"
    asked = {"model": str(source), "data": asdict(data), "command": command}
    if asked_values is not None:
        values = value_answers(asked_values, clips, scores, scaled=bool(ensemble.scoring.ranges))
        unknown = [name for name in ensemble.labels if name not in values.task.outputs]
        if unknown:
            notes.append(f"No clip has {one_of(unknown)}, which is not scored.")
        report = value_report(values, name=name, seed=seed, notes=notes) | asked
        distributed.from_first("evaluation", lambda: write_values(_empty(folder), report, values))
        log.info(f"Written to {folder}: README.md, {asked_values.name}.png, predictions.csv, report.json.")
        return report
    answers = _classes(ensemble, clips, scores)
    report = evaluation_report(answers, name=name, seed=seed, notes=notes, shares=shares)
    report |= asked
    distributed.from_first("evaluation", lambda: _write(folder, report, answers))
    pictures = "confusion.png, reliability.png" if shares else "confusion.png"
    log.info(f"Written to {folder}: README.md, {pictures}, predictions.csv, report.json.")
    return report


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (overwrite and (folder / "report.json").is_file()):
        raise UserError(f"{folder}: the folder is not empty; choose another --out, or --overwrite an evaluation.")


def _empty(folder: Path) -> Path:
    """Return a folder that has nothing in it any more."""
    with disk_errors(folder, "--out"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    return folder


def _write(folder: Path, report: Report, answers: OutOfFold) -> None:
    write_oof_csv(_empty(folder) / "predictions.csv", answers)
    save_png(folder / "confusion.png", confusion_figure(report))
    if report["calibration"]:
        save_png(folder / "reliability.png", reliability_figure({report["name"]: report["calibration"]}))
    write_text(folder / "README.md", evaluation_page(report))
    write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")


def _answers(
    ensemble: Ensemble, data: DataConfig, cache: Path, seed: int
) -> tuple[str, list[Utterance], Float[np.ndarray, "clips c"], list[str], list[str | None]]:
    """Return the corpus's name, clips and the ensemble's scores for each, notes, and hashes of the clips' samples."""
    config = DataConfig(**{**asdict(data), "cache": str(cache)})
    filmed = "video" in ensemble.modalities
    silent, labelled = "sound" not in ensemble.modalities, ensemble.outputs != "identity"
    corpus = read_corpus(config, seed=seed, videos=filmed, silent=silent, ask=False, labelled=labelled)
    strange = [label for label in corpus.labels if labelled and label not in ensemble.labels]
    if strange:
        raise UserError(
            f"the model has no class {one_of(strange)}, only {', '.join(ensemble.labels)}; translate the labels with "
            "--data.label-map, or choose some with --data.labels."
        )
    notes = list(corpus.notes)
    if corpus.unnamed is not None:
        notes.append(f"The clips' names seem to hold speakers; with {corpus.unnamed.offer} the intervals draw them.")
    for note in notes:
        log.info(note)
    opened = _open(corpus.utterances, filmed, cache, config)
    clips, given, skipped, hashes = opened
    names = [(clip.id, clip.label, clip.start, clip.end) for clip in clips]
    distributed.same(
        {
            "list of clips, or other recordings (their fingerprint)": fingerprint(names, hashes),
            "model, or other weights (their fingerprint)": ensemble.fingerprint(),
        }
    )
    parts = [slice(start, start + _CHUNK) for start in range(0, len(clips), _CHUNK)]
    found: list[_Answered] = []
    for part in parts[distributed.index() :: distributed.count()]:
        found.append(_answered(ensemble, clips[part], given[part], config.skip_bad))
    # Each process tells of its parts in turn, so that all have them in the order of the clips.
    every: list[_Answered] = []
    while len(every) < len(parts):
        own = found.pop(0).to_json() if found else ""
        every += [_Answered.from_json(text) for text in distributed.exchange("answers", own) if text]
    answered = [clips[part][i] for part, one in zip(parts, every, strict=True) for i in one.clips]
    skipped = [*skipped, *(line for one in every for line in one.skipped)]
    for line in skipped:
        log.warning(f"skipped: {line}")
    log.info(describe(answered, corpus.labels))
    if skipped:
        notes.append(f"{len(skipped)} clips that cannot be used were skipped.")
    scores = np.concatenate([one.probability for one in every if one.clips])
    return corpus.name, answered, scores, notes, [digest for one in every for digest in one.digests]


def _classes(ensemble: Ensemble, clips: Sequence[Utterance], scores: Float[np.ndarray, "clips c"]) -> OutOfFold:
    """Return scores of classes as the answers of one fold."""
    return OutOfFold(
        ids=tuple(clip.id for clip in clips),
        fold=np.ones(len(clips), int),
        label=np.array([ensemble.labels.index(clip.label) for clip in clips]),
        probability=scores,
        speaker=tuple(clip.speaker for clip in clips),
        labels=ensemble.labels,
        attributes=attribute_columns([clip.attributes for clip in clips]),
    )


class _Answered(NamedTuple):
    """Answers for a part of the clips.

    Attributes:
        clips: positions of those that have one.
        probability: of their classes.
        digests: hashes of their samples, as a run's folds.json has them; None where there is no sound.
        skipped: a sentence for each of the others.
    """

    clips: list[int]
    probability: Float[np.ndarray, "clips c"]
    digests: list[str | None]
    skipped: list[str]

    def to_json(self) -> str:
        """Return it as text that keeps every digit."""
        return json.dumps([self.clips, self.probability.astype(float).tolist(), self.digests, self.skipped])

    @classmethod
    def from_json(cls, text: str) -> "_Answered":
        """Return what `to_json` returned as text."""
        clips, probability, digests, skipped = json.loads(text)
        return cls(clips, np.array(probability, np.float32), digests, skipped)


def _answered(ensemble: Ensemble, clips: Sequence[Utterance], given: Sequence[Any], skip_bad: bool) -> _Answered:
    """Let the ensemble answer for some clips."""
    usable, samples, skipped = [], [], []
    with ThreadPoolExecutor(THREADS) as pool:  # decode them, where the store keeps none
        coming = [pool.submit(sources) for sources in given]
    for i, (clip, sources) in enumerate(zip(clips, coming, strict=True)):
        try:
            samples.append(ensemble.read(sources.result()))
            usable.append(i)
        except MissingPackage:
            raise
        except UserError as error:
            skipped.append(str(error).replace("the clip: ", f"{clip.id}: "))
            if not skip_bad:
                raise UserError(f"{skipped[-1]} Or leave such clips out with --data.skip-bad.") from None
    digests = [content_hash(np.asarray(one.wave, "<f4")) if len(one.wave) else None for one in samples]
    return _Answered(usable, ensemble.probabilities(samples), digests, skipped)


def _open(
    clips: Sequence[Utterance], filmed: bool, cache: Path, config: DataConfig
) -> tuple[Sequence[Utterance], list[Callable[[], Any]], list[str], tuple[str, ...]]:
    """Return clips, a reader of each, a sentence for each that is left out, and hashes of the decoded sounds.

    Sounds are decoded once; an ensemble filters them and leaves out silence itself.
    """
    if filmed:
        return clips, [partial(_files, clip) for clip in clips], [], ()
    store = open_store(clips, cache / "clips", skip_bad=config.skip_bad, keep=config.keep_decoded)
    return store.utterances, [partial(_sound, store, i) for i in range(len(store))], list(store.skipped), store.hashes


def _sound(store: ClipStore, i: int) -> tuple[np.ndarray, int]:
    return np.asarray(store.clip(i)), SAMPLE_RATE


def _files(clip: Utterance) -> dict[str, Path]:
    """Return a clip's files of sound and video."""
    video = clip.video or clip.path
    return {"video": video} if video == clip.path else {"audio": clip.path, "video": video}


def _known_notes(run_dir: Path, ensemble: Ensemble, clips: Sequence[str], digests: Sequence[str | None]) -> list[str]:
    """Return sentences on the clips that the run was trained on, known by their samples, else by their names."""
    useless = "their scores tell nothing about new recordings."
    if known := read_known(run_dir, ensemble.folds):
        found = [clip for clip, digest in zip(clips, digests, strict=True) if digest in known]
        how = "hold samples that the run was trained on"
    else:
        path = run_dir / "oof.csv"
        found = sorted(set(clips) & set(read_oof_csv(path).ids)) if path.is_file() else []
        how = "have names of clips that the run was trained on"
    notes = [f"{len(found)} of these clips {how} ({one_of(found)}); {useless}"] if found else []
    adapted_to = read_adapted(run_dir)
    if heard := sum(digest in adapted_to for digest in digests):
        notes.append(
            f"The run adapted its heads to {heard} of these clips, without their labels; scores on clips that it never "
            "heard may be lower."
        )
    return notes
