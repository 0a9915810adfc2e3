"""The second step: masked prediction of the labels, of one encoder or of one a fold."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.huggingface import save_pretrained
from serjax.config.pretraining import PretrainExperiment
from serjax.data.batching.frame_batches import LabelledBatch, Shape, labelled_batches, plan, side_by_side
from serjax.data.store.frame_labels import FrameGrid, FrameLabels
from serjax.models.functional import flat
from serjax.runs.folder import RESUME
from serjax.runs.pretraining.corpus import Material, Part
from serjax.runs.pretraining.labels import part_folder
from serjax.runs.starts import ENCODER, EncoderStart, encoder_start
from serjax.runtime import distributed
from serjax.runtime.mesh import fetch
from serjax.runtime.progress import progress_bar
from serjax.training.choose_together import choose_together
from serjax.training.fold_axis import FoldAxis, fold_axis
from serjax.training.metric_log import MetricLog
from serjax.training.parameter_sharding import choose_shards
from serjax.training.pretrain_loop import encoder_of, pretrain, run_shapes, set_up
from serjax.training.resume import ResumePoint

log = logging.getLogger(__name__)


def predict_masked(
    experiment: PretrainExperiment,
    material: Material,
    labels: Sequence[FrameLabels],
    start: EncoderStart,
) -> None:
    """Train each part's encoder to predict its labels, and write it as a Hugging Face directory.

    Parts are trained side by side where that is faster, else one after the other; encoders that are there already are
    left as they are, and a part that was stopped goes on.

    Args:
        experiment: how to train.
        material: the clips and who hears which.
        labels: of each part.
        start: what all parts start from, or where each part's own is.

    Raises:
        UserError: labels of another grid or number than the encoder's frames, less audio than a batch, a loss that is
            no number, or a full disk.
    """
    grid = FrameGrid(start.config.frame_hop, start.config.receptive_field)
    encoders = [part_folder(experiment.run_dir, part) / ENCODER / "config.json" for part in material.parts]
    made = distributed.from_first("encoders", lambda: [path.is_file() for path in encoders])
    waiting = []
    for part, own, ready in zip(material.parts, labels, made, strict=True):
        clips = material.clips
        own.check({clips.names[i]: int(clips.lengths[i]) for i in part.train}, grid)
        if not ready:
            waiting.append((part, own))
    together, config = False, experiment.masked
    if len(waiting) > 1:
        together, why = choose_together(experiment.folds.together, backend=jax.default_backend(), frozen_encoder=False)
        log.info(why)
    groups = [waiting] if together else [[one] for one in waiting]
    count, devices = len(waiting) if together else 1, len(jax.devices())
    shard = 1
    if waiting:
        clusters, alike = max(own.clusters for _, own in waiting), start.encoders is None or start.encoders.shared
        shapes_of = partial(run_shapes, config, start.config, clusters, shared=alike)
        shard = choose_shards(experiment.mesh.shard, shapes_of, folds=count, batch=devices, together=True)
    axis = fold_axis(count, devices, together=True, shard=shard)
    # The same lengths for all parts, so that what is compiled for one serves the others.
    shapes = plan(
        material.clips.lengths,
        grid,
        only=sorted({i for part in material.parts for i in part.train}),
        seconds=config.seconds,
        shortest=config.shortest,
        longest=config.longest,
        devices=axis.row_devices,
        parts=config.accumulate,
    )
    for group in groups:
        _train(experiment, material, group, start, axis, shapes, grid)


def _train(
    experiment: PretrainExperiment,
    material: Material,
    group: Sequence[tuple[Part, FrameLabels]],
    start: EncoderStart,
    axis: FoldAxis,
    shapes: Sequence[Shape],
    grid: FrameGrid,
) -> None:
    config, clips = experiment.masked, material.clips
    folders = [part_folder(experiment.run_dir, part) for part, _ in group]
    keys = [jax.random.fold_in(jax.random.key(experiment.seed), part.fold) for part, _ in group]
    pretrained = {} if start.pretrained is None else flat(nnx.state(start.pretrained))
    own = None
    if start.encoders is not None and not start.encoders.shared:
        leaves = encoder_start(start.encoders, [part.fold for part, _ in group]).leaves
        own = nnx.from_flat_state(list(leaves.items()))
    setup = set_up(
        config,
        start.config,
        max(own.clusters for _, own in group),
        normalize=start.preprocessor.normalize,
        keys=jax.numpy.stack(keys),
        axis=axis,
        given={f"speech_encoder.{name}": leaf for name, leaf in pretrained.items()},
        own=own,
    )
    resume = ResumePoint(folders[0] / RESUME)
    done = resume.latest() or 0
    with contextlib.ExitStack() as stack:
        stack.callback(resume.close)
        # One process of several writes and speaks.
        logs = [stack.enter_context(MetricLog(folder, done)) for folder in folders] if distributed.first() else []
        bar = stack.enter_context(progress_bar("updates"))
        whose = ", ".join(f"fold {part.fold}" for part, _ in group if part.fold)
        log.info(
            f"Masked prediction{f' of {whose}' if whose else ''}: {_extent(shapes, config.updates, grid, group[0][0])}"
        )
        if done:
            log.info(f"Resuming after update {done}.")
        task = bar.add_task("masked prediction", total=config.updates, completed=done, rate="")
        began, seconds = time.monotonic(), 0.0

        def batches(done: int) -> Iterator[LabelledBatch]:
            nonlocal seconds
            runs = [
                labelled_batches(
                    clips,
                    [own.of(name) for name in clips.names],
                    shapes,
                    grid,
                    seed=(experiment.seed, part.fold),
                    updates=config.updates,
                    done=done,
                    only=frozenset(part.train),
                    own_rows=axis.own_rows,
                )
                for part, own in (group[k] for k in axis.own)
            ]
            for batch in side_by_side(runs):
                yield batch
                # The step of this batch has been sent off.
                seconds += distributed.count() * batch.wave.size / SAMPLE_RATE
                rate = seconds / (time.monotonic() - began)
                bar.update(task, advance=1, rate=f"{rate:.0f} s of audio/s")

        def report(updates: int, means: dict[str, Float[np.ndarray, "k"]]) -> None:
            rate = seconds / (time.monotonic() - began)
            for k, metrics in enumerate(logs):
                part = group[k][0]
                values = {f"train_{name}": float(value[k]) for name, value in means.items()}
                metrics.write([{"fold": part.fold, "epoch": updates, **values, "train_audio_per_second": rate}])
            log.info(
                f"update {updates}/{config.updates}  loss {np.mean(means['masked_loss']):.3f}  accuracy of masked "
                f"frames {np.mean(means['masked_accuracy']):.3f}, of others {np.mean(means['unmasked_accuracy']):.3f}  "
                f"{rate:.0f} s of audio/s"
            )

        params = axis.gather(pretrain(setup, batches, config.updates, resume, report, every=config.save_every))
    frozen = fetch(setup.frozen) if setup.shared else axis.gather(setup.frozen)

    def save() -> None:
        for k, folder in enumerate(folders):
            encoder = encoder_of(setup, params, frozen, k)
            save_pretrained(encoder, folder / ENCODER, preprocessor=start.preprocessor, dtype=experiment.save_as)
        # A fold's states are as large as its encoder many times over, and the next fold makes its own.
        shutil.rmtree(folders[0] / RESUME, ignore_errors=True)

    distributed.from_first("encoders", save)


def _extent(shapes: Sequence[Shape], updates: int, grid: FrameGrid, part: Part) -> str:
    counts = [len(set(shape.clips).intersection(part.train)) for shape in shapes]
    clips = sum(counts)
    audio = sum(count * grid.samples(shape.frames) for count, shape in zip(counts, shapes, strict=True)) / SAMPLE_RATE
    batch = np.mean([shape.rows * grid.samples(shape.frames) for shape in shapes]) / SAMPLE_RATE
    passes = updates * batch / audio
    return f"{updates} updates of {batch:.0f} s, {passes:.1f} passes over {audio / 60:.0f} min in {clips} clips."
