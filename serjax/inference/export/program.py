"""An ensemble as one function of a wave and its length, and what a program must know to call it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.bundle import Models
from serjax.data.batching.lengths import bucket
from serjax.inference.batched import member_logits
from serjax.inference.scores import Scoring
from serjax.inference.windows import LONGEST
from serjax.models.classifiers.spectrogram import SpectrogramClassifier
from serjax.models.functional import cast
from serjax.models.inputs import Inputs
from serjax.runtime.errors import UserError
from serjax.runtime.version import __version__

FORMAT = 1
"""Version of export.json."""


class Program(NamedTuple):
    """An ensemble that is to be exported.

    Attributes:
        models: its members, of sound alone.
        scoring: from logits to scores.
        name: of the run or checkpoint, for messages.
        dynamic: clips of any length can be given; else all are padded to `window`.
        window: the longest clip in samples.
    """

    models: Models
    scoring: Scoring
    name: str
    dynamic: bool
    window: int

    @property
    def weights(self) -> Any:
        """Parameters in float32, as `call` takes them."""
        return cast({"members": self.models.params, "shared": self.models.shared}, "float32")

    def call(self, weights: Any, wave: Float[Array, "b t"], lengths: Any) -> dict[str, Array]:
        """Return the members' logits [b k c] and the ensemble's scores [b c]."""
        models = self.models
        inputs = Inputs(wave, lengths)
        logits = member_logits(weights["members"], weights["shared"], inputs, graphdef=models.graphdef, dtype="float32")
        return {"logits": logits, "scores": _scores(logits, self.scoring)}

    def inputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Return shapes and dtypes of the inputs; sizes that a caller chooses are symbolic."""
        if self.dynamic:
            constraint = f"time >= {self.models.min_samples}"
            batch, time = jax.export.symbolic_shape("batch, time", constraints=[constraint])
        else:
            (batch,), time = jax.export.symbolic_shape("batch"), self.window
        return {
            "wave": jax.ShapeDtypeStruct((batch, time), jnp.float32),
            "lengths": jax.ShapeDtypeStruct((batch,), jnp.int32),
        }

    def lengths(self) -> list[int]:
        """Return the lengths in samples to which clips are best padded: few programs are compiled then."""
        found = [bucket(1)] if self.dynamic else [self.window]
        while found[-1] < self.window:
            found.append(bucket(found[-1] + 1))
        return found

    def describe(self, kind: str, files: dict[str, str]) -> dict[str, Any]:
        """Return what export.json holds.

        Args:
            kind: of the export.
            files: names of the files in the folder, and what each is.
        """
        models = self.models
        members, seconds = self.scoring.weights.tolist(), self.window / SAMPLE_RATE
        return {
            "format": FORMAT,
            "serjax": __version__,
            "kind": kind,
            "source": self.name,
            "labels": list(models.labels),
            "outputs": models.outputs,
            "folds": list(models.folds),
            "weights": members,
            "sampling_rate": SAMPLE_RATE,
            "window_seconds": seconds,
            "min_samples": models.min_samples,
            "lengths": self.lengths(),
            "any_length": self.dynamic,
            "crop": models.crop,
            "normalization": "in the model: give samples in -1..1 as they were recorded, mono",
            "before": {"highpass_hz": models.highpass, "vad": models.vad},
            "dtype": "float32",
            "temperatures": None if self.scoring.temperature is None else self.scoring.temperature.tolist(),
            "inputs": {
                "wave": "float32 [batch, time]: samples, zeros after a clip's end",
                "lengths": "int32 [batch]: true samples of each clip, from min_samples to time",
            },
            "values": {
                "logits": "float32 [batch, members, labels]: of each member, before its temperature",
                "scores": "float32 [batch, labels]: of the ensemble, calibrated where there are temperatures",
            },
            "files": files,
        }


def _scores(logits: Float[Array, "b k c"], scoring: Scoring) -> Float[Array, "b c"]:
    """Return the weighted mean of the members' scores, as `Scoring.scores` does."""
    if scoring.temperature is not None:
        logits = logits / jnp.asarray(scoring.temperature)[:, None]
    each = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, "identity": lambda x: x}[scoring.outputs](logits)
    return jnp.sum(each * jnp.asarray(scoring.weights)[:, None], axis=1)


def program(models: Models, scoring: Scoring, name: str) -> Program:
    """Return the program of an ensemble.

    Raises:
        UserError: it takes video.
    """
    if models.video is not None or "sound" not in models.modalities:
        raise UserError(f"{name}: it takes video, and models of sound alone are exported; give one of those.")
    window = round((models.max_seconds or LONGEST) * SAMPLE_RATE)
    made = Program(models, scoring, name, True, window)
    # A network whose input has one length, such as a spectrogram's, cannot be traced with another; nor can Whisper,
    # whose clips are padded to a length of its own.
    member = _member(models)
    encoder = getattr(member, "speech_encoder", None)
    fixed = isinstance(member, SpectrogramClassifier) or (encoder is not None and encoder.config.max_samples)
    return made._replace(dynamic=not fixed)


def _member(models: Models) -> Any:
    """Return one member, without its weights."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), models.params)
    return nnx.merge(models.graphdef, shapes, models.shared)
