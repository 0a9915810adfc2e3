"""Loading what answers for clips: a finished run, or a published classifier."""

import gc
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import jax

from serjax.audio import SAMPLE_RATE
from serjax.audio.highpass import LOWEST
from serjax.checkpoints.bundle import Models, of_task
from serjax.checkpoints.hub import is_checkpoint, is_hub_id, resolve
from serjax.checkpoints.published import load_published
from serjax.checkpoints.run_models import load_run
from serjax.inference.ensemble import Ensemble, LongClips
from serjax.models.base import DType
from serjax.models.published import LayerSum
from serjax.runtime.allocator import give_back_memory
from serjax.runtime.errors import UserError


def load(
    source: str | Path,
    weights: Sequence[float] | None = None,
    dtype: DType | None = None,
    highpass: float | None = None,
    long_clips: LongClips = "windows",
    raw: bool = False,
    only: Sequence[str] | None = None,
    task: str | None = None,
    layer_sum: LayerSum | None = None,
) -> Ensemble:
    """Return the ensemble of a finished run, or a published classifier, to be called with clips.

    Args:
        source: the run folder; a Hugging Face directory or hub id of a classifier; or the hub id of a run.
        weights: how much each fold counts; equally by default.
        dtype: what to compute in; by default what a run was trained in, float32 for a published classifier. Where the
            processor has instructions for bfloat16, it takes two thirds of the time; it errs by 1 %
            (docs/results/speed.md).
        highpass: cutoff in Hz of a high-pass filter (`serjax.audio.highpass`) for the clips; by default what a run was
            trained with (`data.highpass`), none for a published classifier.
        long_clips: how clips are answered that are longer than the models hear (`data.max_seconds` of a run, 30 s of a
            published classifier). windows: the mean over the fewest windows that cover them. head: the stretch alone
            that a run was trained on (`data.eval_crop`). whole: all at once, by a published classifier.
        raw: leave the logits as the models give them, where a run has temperatures that calibrate them
            (docs/concepts/calibration.md).
        only: classes that are told apart: scores are softmax over their logits alone; all by default.
        task: which of the tasks of a run is answered that was trained with several (`target.tasks`); the first by
            default.
        layer_sum: version of transformers, 4 or 5, whose weighted sum of layers a published classifier with a pre-LN
            encoder takes; by default that of the version that wrote its config.json.

    Raises:
        UserError: there is no such run, checkpoint, dtype, cutoff or class, or its files do not fit.
    """
    if long_clips not in get_args(LongClips):
        raise UserError(f"long_clips: got {long_clips!r}; give {', '.join(get_args(LongClips))}.")
    if dtype is not None and dtype not in get_args(DType):
        raise UserError(f"dtype: got {dtype!r}; give {' or '.join(get_args(DType))}.")
    if highpass is not None and not LOWEST <= highpass < SAMPLE_RATE / 2:
        raise UserError(f"highpass: got {highpass:g} Hz; give {LOWEST:g} or more and less than {SAMPLE_RATE / 2:g}.")
    layer_sum = None if layer_sum is None else typing.cast(LayerSum, str(layer_sum))
    if layer_sum is not None and layer_sum not in get_args(LayerSum):
        raise UserError(f"layer_sum: got {layer_sum!r}; give {' or '.join(get_args(LayerSum))}.")
    models = of_task(read_models(source, layer_sum), task)
    if dtype is not None:
        models = models._replace(dtype=dtype)
    if highpass is not None:
        models = models._replace(highpass=highpass)
    if raw:
        models = models._replace(calibration=None)
    ensemble = Ensemble(models, weights, long_clips, only)
    if models.dtype != "float32":
        # The weights in float32 are dropped here: half of the memory goes back, or nothing is won by 16 bits.
        del models
        jax.block_until_ready(ensemble.parameters)
        gc.collect()  # modules refer to themselves, and keep their weights until then
        give_back_memory()
    return ensemble


def read_models(source: str | Path, layer_sum: LayerSum | None = None) -> Models:
    """Return the members of a finished run, or a published classifier.

    Raises:
        UserError: there is no such run or checkpoint, or its files do not fit.
    """
    folder, own = find(source)
    if own and layer_sum is not None:
        raise UserError(
            f"--layer-sum {layer_sum}: {source} is a run, which serjax sums as it was trained; leave it out."
        )
    return load_run(folder) if own else load_published(str(source), layer_sum)


def find(source: str | Path) -> tuple[Path, bool]:
    """Return the folder of a run or checkpoint, of the hub too, and whether it is a run."""
    folder = Path(source).expanduser()
    if is_hub_id(str(source)):
        fetched = resolve(str(source))
        folder = fetched if (fetched / "model.json").is_file() else folder
    return folder, folder.is_dir() and not is_checkpoint(folder)
