"""Ensembles of a run's folds, or a published model, that answer for clips."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, get_args, overload

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.highpass import LARGE_OFFSET, dc_offset, highpass
from serjax.audio.vad import trim
from serjax.audio.wav import missing_seconds
from serjax.checkpoints.bundle import Models, Outputs
from serjax.checkpoints.hub import is_hub_id, resolve
from serjax.checkpoints.published import load_published
from serjax.checkpoints.run_models import load_run
from serjax.data.batching.lengths import bucket, crop_clip
from serjax.inference.inputs import Clip, Sample, rate_of, read
from serjax.models.base import DType
from serjax.models.embedding import embed
from serjax.models.functional import apply, cast, logits_of, merge
from serjax.models.fusion.cross_attention import CrossAttentionFusion
from serjax.models.inputs import Inputs
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint
from serjax.video.config import VideoConfig

BATCH = 8
"""Clips a call, at most."""


Scores = list[dict[str, Any]]
"""[{"label": str, "score": float}, ...] in descending order.

Scores are probabilities that add up to 1, or as the checkpoint's problem_type says: one probability a label
(multi_label_classification), or values that are no probabilities (regression).
"""


class Ensemble:
    """A run's folds, or one published model, answering together."""

    def __init__(self, models: Models, weights: Sequence[float] | None = None) -> None:
        """Keep the models; nothing is compiled before the first call.

        Args:
            models: the members.
            weights: how much each fold counts; equally by default.

        Raises:
            UserError: not one weight a fold, a negative one, or all zero.
        """
        folds = tuple(dict.fromkeys(models.folds))
        given = np.ones(len(folds)) if weights is None else np.asarray(weights, float)
        fits = given.shape == (len(folds),) and np.isfinite(given).all()
        if not fits or (given < 0).any() or not given.sum() > 0:
            raise UserError(
                f"weights: got {given.tolist()}; expected {len(folds)} numbers, one for each of the folds "
                f"{', '.join(map(str, folds))}, finite, none negative and not all zero."
            )
        self.labels = models.labels
        self.folds = folds
        self.outputs = models.outputs
        self.modalities = models.modalities
        self.notes = models.notes
        self.max_seconds, self.crop, self.highpass = models.max_seconds, models.crop, models.highpass
        # Weights are brought to their dtype once, not in each call.
        self._models = models._replace(
            params=cast(models.params, models.dtype), shared=cast(models.shared, models.dtype)
        )
        self._answer = jax.jit(answer, static_argnames=("graphdef", "dtype", "outputs"))
        # Each fold's share is split among its seeds.
        given = given[[folds.index(fold) for fold in models.folds]]
        self._embed = jax.jit(embed_all, static_argnames=("graphdef", "dtype"))
        self._weights = (given / given.sum()).astype(np.float32)

    @overload
    def __call__(self, clips: Clip) -> Scores: ...

    @overload
    def __call__(self, clips: list[Clip]) -> list[Scores]: ...

    def __call__(self, clips: Clip | list[Clip]) -> Scores | list[Scores]:
        """Return the emotions of one clip, or of each of a list of clips.

        Args:
            clips: a path or URL; samples with their rate; or a list of those.

        Raises:
            UserError: a clip that cannot be read, or that is too short.
        """
        if not isinstance(clips, list):
            return self([clips])[0]
        return [self.ranked(row) for row in self.probabilities(self._read(clips))] if clips else []

    def embeddings(self, clips: Clip | list[Clip]) -> Float[np.ndarray, "*clips k d"]:
        """Return what the classifier of each member takes of a clip: its pooled vector.

        Of a speech encoder it is the pooled output, of other models what `serjax.models.embedding.embed` says. Each
        member has a space of its own: do not average over folds, but train on those of one, or side by side. Members
        that share a frozen encoder and pool without weights give the same vectors.

        Args:
            clips: one clip [k d], or a list of clips [clips k d]; k counts the members in the order of `folds`.

        Raises:
            UserError: there is no clip, or one that cannot be read or is too short.
        """
        if not isinstance(clips, list):
            return self.embeddings([clips])[0]
        if not clips:
            raise UserError("there are no clips; give at least one.")
        models = self._models
        found: list[tuple[list[int], np.ndarray]] = []
        for batch, inputs in self._batched(self._read(clips)):
            vectors = self._embed(models.params, models.shared, inputs, graphdef=models.graphdef, dtype=models.dtype)
            found.append((batch, np.asarray(vectors)))
        order = np.argsort([index for batch, _ in found for index in batch])
        return np.concatenate([vectors for _, vectors in found])[order]

    def _read(self, clips: list[Clip]) -> list[Sample]:
        """Return clips as these models take them; what is to be said of them are warnings."""
        rates = sorted({self.rate(clip) for clip in clips} - {SAMPLE_RATE})
        if rates:
            found = " and ".join(f"{rate:g}" for rate in rates)
            warnings.warn(f"clips of {found} Hz are resampled to {SAMPLE_RATE} Hz.", stacklevel=3)
        samples = [self.read(clip) for clip in clips]
        for sample in samples:
            for note in sample.notes:
                warnings.warn(note, stacklevel=3)
        large = sum(sample.offset > LARGE_OFFSET for sample in samples)
        if large and self.highpass is None:
            warnings.warn(
                f"{large} of the clips have a DC offset above {LARGE_OFFSET:.0%} of their RMS, which models hear; load "
                "the model with highpass=20 to remove it.",
                stacklevel=3,
            )
        return samples

    def read(self, clip: Clip) -> Sample:
        """Return a clip as these models take it, filtered and without silence, and what is to be said of it.

        Raises:
            UserError: it cannot be decoded, is too short for these models, or lacks the sound or the video that they
                cannot do without.
        """
        models = self._models
        sample, least = read(clip, models.video, sound="sound" in models.modalities), models.min_samples
        name = f"{clip}" if isinstance(clip, (str, Path)) else "the clip"
        for part in sorted(models.required - sample.modalities):
            give = "both" if len(models.required) > 1 else f"a clip with {part}"
            raise UserError(
                f"{name}: it has no {part}, which these models were not trained to do without; give {give}."
            )
        sound = clip.get("audio") if isinstance(clip, Mapping) else clip
        if len(sample.wave) and isinstance(sound, (str, Path)) and (missing := missing_seconds(sound)):
            note = f"{sound}: it breaks off {missing:.3f} s before the end that its header gives; the rest is answered."
            sample = sample._replace(notes=(*sample.notes, note))
        if not sample.modalities:
            raise UserError(f"{name}: it has neither sound nor video; give a clip that has one of them.")
        if "sound" in sample.modalities and len(sample.wave) < least:
            raise UserError(
                f"{name}: it has {len(sample.wave)} samples at 16 kHz, but the model's first frame takes {least}."
            )
        if len(sample.wave):
            wave = trim(highpass(sample.wave, models.highpass), models.vad)[0]
            sample = sample._replace(wave=wave, offset=dc_offset(sample.wave))
        if models.video is not None and not models.required and len(sample.modalities) == 1:
            alone = f"{name}: answered from {min(sample.modalities)} alone."
            return sample._replace(notes=(*sample.notes, alone))
        return sample

    def fingerprint(self) -> str:
        """Return a hash of the members' parameters and weights, and of the settings that decide their answers."""
        models = self._models
        heard = models.max_seconds, models.crop, models.vad, models.highpass
        settings = models.dtype, models.outputs, *heard, self.labels
        return fingerprint(models.params, models.shared, self._weights, settings)

    def rate(self, clip: Clip) -> float:
        """Return the rate in Hz from which a clip's sound is brought to that of the models."""
        return rate_of(clip) if "sound" in self._models.modalities else SAMPLE_RATE

    def probabilities(self, samples: Sequence[Sample]) -> Float[np.ndarray, "clips c"]:
        """Return the members' mean scores of clips, in the order of `labels`."""
        models = self._models
        result = np.zeros((len(samples), len(self.labels)), np.float32)
        for batch, inputs in self._batched(samples):
            found = self._answer(
                models.params,
                models.shared,
                inputs,
                self._weights,
                graphdef=models.graphdef,
                dtype=models.dtype,
                outputs=models.outputs,
            )
            result[batch] = np.asarray(found)
        if not np.isfinite(result).all():
            raise UserError("the answers are not finite numbers: the weights are damaged; train or fetch them again.")
        return result

    def _batched(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], Inputs]]:
        """Yield the positions of samples that are answered together, and the batch of them."""
        cut, video = [self.heard(sample) for sample in samples], self._models.video
        for batch in _batches([len(clip) for clip in cut]):
            wave = np.zeros((len(batch), bucket(max(len(cut[index]) for index in batch))), np.float32)
            length = np.array([len(cut[index]) for index in batch], np.int32)
            for row, index in zip(wave, batch, strict=True):
                row[: len(cut[index])] = cut[index]
            seen = () if video is None else _frames([samples[index] for index in batch], video)
            yield batch, Inputs(wave, length, *seen)

    def attention(self, sample: Sample) -> tuple[Float[np.ndarray, "f n"], float]:
        """Return the share of each stretch of sound in what each frame took from it, and a stretch's seconds.

        It is the mean over the members and over the heads of the attention.

        Raises:
            UserError: the models have no cross-attention, or the clip lacks sound or video.
        """
        models = self._models
        fused = nnx.merge(models.graphdef, jax.tree.map(lambda x: x[0], models.params), models.shared)
        if models.video is None or not isinstance(getattr(fused, "fusion", None), CrossAttentionFusion):
            raise UserError("these models have no cross-attention; ask a run of av_xattn.")
        if sample.frames is None or not len(sample.wave):
            raise UserError("attention is between sound and video; give a clip that has both.")
        wave = self.heard(sample)
        arrays = (wave[None], np.array([len(wave)], np.int32), *_frames([sample], models.video))

        def looked(params: Any) -> Any:
            return nnx.merge(models.graphdef, params, models.shared).fuse(Inputs(*arrays)).attention

        found = jax.vmap(looked)(models.params)
        frames, stretches = int(found.video_frames[0, 0]), int(found.audio_frames[0, 0])
        shares = np.einsum("k,khfn->fn", self._weights, np.asarray(found.video_to_audio[:, 0], np.float32))
        return shares[:frames, :stretches] / found.video_to_audio.shape[2], fused.seconds_per_frame

    def heard(self, sample: Sample) -> Float[np.ndarray, "n"]:
        """Return the stretch of a clip's sound that the models hear, at 16 kHz: at most `data.max_seconds`."""
        models, wave = self._models, sample.wave
        longest = len(wave) if models.max_seconds is None else round(models.max_seconds * SAMPLE_RATE)
        return crop_clip(wave, longest, models.crop)

    def ranked(self, probability: Float[np.ndarray, "c"]) -> Scores:
        """Return the classes with their probabilities, the most probable first."""
        order = np.argsort(-probability, kind="stable")
        return [{"label": self.labels[c], "score": float(probability[c])} for c in order]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the positions of clips that are padded to the same length, by powers of two: few shapes are compiled."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(order, key=lambda index: bucket(lengths[index])):
        waiting = list(group)
        while waiting:
            size = min(BATCH, 1 << (len(waiting).bit_length() - 1))
            yield waiting[:size]
            del waiting[:size]


def _frames(
    samples: Sequence[Sample], video: VideoConfig
) -> tuple[Shaped[np.ndarray, "b f ..."], Int[np.ndarray, "b"]]:
    """Return the clips' videos side by side, and how many frames each clip has."""
    dtype = np.uint8 if video.num_face_features is None else np.float32
    frames = np.zeros((len(samples), *video.shape), dtype)
    counts = np.zeros(len(samples), np.int32)
    for row, sample in enumerate(samples):
        if sample.frames is not None:
            counts[row] = len(sample.frames)
            frames[row, : counts[row]] = sample.frames
    return frames, counts


def answer(
    params: Any,
    shared: Any,
    inputs: Inputs,
    weights: Float[Array, "k"],
    *,
    graphdef: Any,
    dtype: str,
    outputs: Outputs,
) -> Float[Array, "b c"]:
    """Return the weighted mean of the members' scores; what is shared and sees no member runs once."""
    logits = jax.vmap(lambda one: logits_of(graphdef, one, shared, inputs, None, dtype))(params)
    scores = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, "identity": lambda x: x}[outputs](logits)
    return jax.numpy.einsum("k,kbc->bc", weights, scores)


def embed_all(params: Any, shared: Any, inputs: Inputs, *, graphdef: Any, dtype: str) -> Float[Array, "b k d"]:
    """Return the input of each member's classifier, in float32."""

    def one(own: Any) -> Float[Array, "b d"]:
        model = merge(graphdef, own, shared, dtype)
        return apply(lambda inputs, *_: embed(model, inputs), inputs, None, dtype)

    return jax.vmap(one, out_axes=1)(params)


def load(
    source: str | Path,
    weights: Sequence[float] | None = None,
    dtype: DType | None = None,
    highpass: float | None = None,
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

    Raises:
        UserError: there is no such run, checkpoint, dtype or cutoff, or its files do not fit.
    """
    folder = Path(source).expanduser()
    if dtype is not None and dtype not in get_args(DType):
        raise UserError(f"dtype: got {dtype!r}; give {' or '.join(get_args(DType))}.")
    if highpass is not None and not 0 < highpass < SAMPLE_RATE / 2:
        raise UserError(f"highpass: got {highpass:g} Hz; give more than 0 and less than {SAMPLE_RATE / 2:g}.")
    if is_hub_id(str(source)):
        fetched = resolve(str(source))
        folder = fetched if (fetched / "model.json").is_file() else folder
    own = folder.is_dir() and not (folder / "config.json").is_file()
    models = load_run(folder) if own else load_published(str(source))
    if dtype is not None:
        models = models._replace(dtype=dtype)
    if highpass is not None:
        models = models._replace(highpass=highpass)
    return Ensemble(models, weights)
