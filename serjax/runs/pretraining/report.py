"""Report of a pretraining: pictures and tables of its labels and its loss, and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from serjax.audio.spectrogram import RAVDESS_AUDIO, log_mel
from serjax.config.pretraining import PretrainExperiment
from serjax.data.corpora.filenames import text_of
from serjax.data.dataset import Data
from serjax.data.store.frame_labels import FrameLabels
from serjax.evaluation.cluster_plots import progress_figure, spread_figure, timeline_figure
from serjax.evaluation.clusters import Spread, cluster_csv, posterior, spread, summary_rows
from serjax.evaluation.plots import save_png
from serjax.runs.pretraining.corpus import Clips, Material, Part
from serjax.runs.pretraining.labels import part_folder
from serjax.runtime.disk import write_text
from serjax.training.metric_log import Row, read_history

Spreads = Mapping[str, Mapping[str, Spread]]
"""By the labels' title, then by the kind of group."""


def spreads_of(labels: FrameLabels, data: Data, clips: Sequence[int]) -> dict[str, Spread]:
    """Return how the labels of some clips spread over emotions, speakers and texts, as far as these are known."""
    found = [data.store.utterances[i] for i in clips]
    kinds: dict[str, list[str | None]] = {
        "emotion": [clip.label for clip in found],
        "speaker": [clip.speaker for clip in found],
        "text": [text_of(clip.path.stem) for clip in found],
    }
    frames = [labels.of(clip.id) for clip in found]
    return {
        kind: spread(frames, [str(group) for group in groups], labels.clusters)
        for kind, groups in kinds.items()
        if None not in groups
    }


def looked_at(part: Part, data: Data) -> tuple[int, ...]:
    """Return the clips whose labels are looked at: those that a fold tests, or all of the corpus."""
    return part.test or tuple(range(len(data.store)))


def write_spreads(folder: Path, spreads: Spreads, what: str) -> str:
    """Write how labels spread, as a picture and a table; return the table with a sentence above it.

    Args:
        folder: where to.
        spreads: what was found.
        what: which clips they are of.
    """
    save_png(folder / "frame_labels.png", spread_figure(spreads))
    for title, kinds in spreads.items():
        write_text(folder / f"clusters_{title.split()[0].lower()}.csv", cluster_csv(kinds["emotion"]))
    rows = ["| labels | of | purity | by chance | NMI | by chance |", "|---|---|---:|---:|---:|---:|"]
    rows += [f"| {' | '.join(row)} |" for row in summary_rows(spreads)]
    return "\n".join(
        [
            f"How the labels of {what} spread: purity is the share of frames whose cluster is their group's more than "
            "any other's, NMI the normalised mutual information; chance gives clips each other's groups.",
            "",
            *rows,
            "",
            "![Clusters and emotions](frame_labels.png)",
        ]
    )


def draw_timeline(path: Path, labels: FrameLabels, data: Data, part: Part) -> str:
    """Draw one clip's labels and what they say of its emotion, by how those of other clips spread; return its name."""
    chosen = looked_at(part, data)[0]
    others = [i for i in part.train if i < len(data.store) and i != chosen]
    emotions = spreads_of(labels, data, others)["emotion"]
    clip, wave = data.store.utterances[chosen], data.store.clip(chosen)
    own = labels.of(clip.id)
    mel = np.asarray(log_mel(jnp.asarray(wave)[None], RAVDESS_AUDIO)[0])
    title = f"{clip.id} ({clip.label})"
    found = posterior(own, emotions)
    save_png(path, timeline_figure(wave, mel, own, emotions, found, emotions.names, title))
    return clip.id


def histories(experiment: PretrainExperiment, material: Material) -> dict[int, list[Row]]:
    """Return the log of each part's masked prediction."""
    return {part.fold: read_history(part_folder(experiment.run_dir, part)) for part in material.parts}


def write_page(
    experiment: PretrainExperiment,
    material: Material,
    labels: Sequence[FrameLabels],
    command: str,
    warning: str | None,
) -> None:
    """Write the run's README.md and pictures.

    Args:
        experiment: what was done.
        material: of what.
        labels: of each part.
        command: by which it was asked for.
        warning: what is to be said of the encoders that it rests on.
    """
    folder, data = experiment.run_dir, material.data
    logs = histories(experiment, material)
    save_png(folder / "progress.png", progress_figure(logs))
    last = {fold: rows[-1] for fold, rows in logs.items()}
    own = labels[0].source
    source = "39 MFCC values" if own["of"] == "mfcc" else f"layer {own['layer']} of {own['encoder']}"
    config, start = experiment.masked, experiment.model
    lines = [
        f"# {experiment.name}",
        "",
        f"Masked prediction of {labels[0].clusters} clusters of {source}, {config.updates} updates of "
        f"{config.seconds:g} s a device, from "
        f"{f'random weights of size {start.size}' if start.size else f'`{start.checkpoint}`'}.",
        "",
        f"{_material(experiment, material)} {warning or ''}".rstrip(),
        "",
        "| fold | clips pretrained on | loss of masked frames | accuracy, masked | accuracy, others | share masked |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for part in material.parts:
        row = last[part.fold]
        cells = [part.fold or "all", len(part.train), f"{row['train_masked_loss']:.3f}"]
        cells += [f"{100 * row[f'train_{name}']:.1f} %" for name in ("masked_accuracy", "unmasked_accuracy", "masked")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "![Loss and accuracy](progress.png)", ""]
    if data is not None:
        part = material.parts[0]
        unknown = "" if warning or set(part.train) & set(part.test) else ", which it was not pretrained on,"
        what = f"the clips that fold {part.fold} tests{unknown}" if part.test else "all clips"
        lines += ["## What the labels say", ""]
        lines.append(write_spreads(folder, {"labels": spreads_of(labels[0], data, looked_at(part, data))}, what))
        name = draw_timeline(folder / "timeline.png", labels[0], data, part)
        lines += ["", f"`{name}`, frame by frame; the posterior is what clusters of other clips say:", ""]
        lines += ["![Frame labels along a clip](timeline.png)", ""]
    lines += ["## Command", "", f"    {command}", ""]
    write_text(folder / "README.md", "\n".join(lines))


def _material(experiment: PretrainExperiment, material: Material) -> str:
    minutes = _minutes(material.clips, range(len(material.clips)))
    rule = {
        "train": "Each fold's encoder was pretrained without the clips that the fold tests.",
        "all": "Every clip was pretrained on, tested ones too, without their labels (tapt.corpus all).",
        "unlabelled": "Labels of the recordings were not looked at.",
    }[experiment.tapt.corpus]
    return f"{len(material.clips)} clips, {minutes:.0f} min. {rule}"


def _minutes(clips: Clips, which: Sequence[int]) -> float:
    return float(clips.lengths[list(which)].sum()) / 16_000 / 60
