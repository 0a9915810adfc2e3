"""A clip of a finished run, answered by the saved fold that has not trained on it."""

import logging
import os
import shlex
from pathlib import Path

import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.run_models import read_run
from serjax.data.dataset import Data
from serjax.data.utterance import Utterance
from serjax.inference.load import load
from serjax.runtime.remote import is_remote

log = logging.getLogger(__name__)


def arguments(clip: Utterance, hears: bool) -> list[str]:
    """Return what `serjax.predict` is to be given for a clip: its file, or its sound and its video by name."""
    sound, video = os.path.relpath(clip.path), os.path.relpath(clip.video or clip.path)
    if sound == video or not hears:
        return [video]
    return ["--audio", sound, "--video", video]


def show_example(run_dir: Path, data: Data, hears: bool) -> None:
    """Let the saved fold that has not trained on a clip answer for it, and say how to ask for others.

    Args:
        run_dir: folder of the finished run.
        data: what it was trained on.
        hears: whether the models take sound.
    """
    numbers = read_run(run_dir).folds
    fold = next(one for one in data.folds if one.number == numbers[0])
    weights = [int(number == fold.number) for number in numbers]
    position = fold.test[0]
    clip, heard = data.store.utterances[position], (data.store.clip(position), SAMPLE_RATE)
    ensemble = load(run_dir, weights)
    if data.frames is None:
        answer = ensemble(heard)
    else:
        frames, count = data.frames.rows(np.array([position]))
        answer = ensemble({"audio": heard, "video": frames[0, : count[0]]})
    shown = "{:.2f}" if ensemble.outputs == "identity" else "{:.1%}"
    scores = ", ".join(f"{entry['label']} {shown.format(entry['score'])}" for entry in answer)
    options = ["--weights", *map(str, weights)] if len(numbers) > 1 else []
    named = shlex.join(["python", "-m", "serjax.predict", os.path.relpath(run_dir), *arguments(clip, hears), *options])
    if is_remote(clip.path) or (not hears and clip.video is None):
        named = clip.id  # no file on a disk can be named: it is a URL, or what was seen is drawn, or values
    told = f"Answered by fold {fold.number}, which tests this clip and has not trained on it"
    known = [one.number for one in data.folds if one.number in numbers and position in {*one.train, *one.validation}]
    others = [str(number) for number in known if number != fold.number]
    if others:
        told += f" (in training or validation of {', '.join(others)})"
    told += "; for new clips all answer, without --weights." if options else "."
    truth = ", ".join(f"{name} {value:g}" for name, value in clip.values)
    log.info(f"{named}\n{scores}  (its {f'label: {clip.label}' if clip.label else f'values: {truth}'})\n{told}")
