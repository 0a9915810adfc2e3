"""Embeddings of clips: pooled layers of a speech encoder, or what the classifiers of a model take of a clip."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.hub import is_checkpoint, resolve
from serjax.checkpoints.run_models import read_run
from serjax.data.store.decoded import content_hash
from serjax.data.store.frame_labels import FrameGrid
from serjax.inference.batched import batches, join
from serjax.inference.encoder import PretrainedEncoder, load_encoder
from serjax.inference.ensemble import Ensemble
from serjax.inference.inputs import Sample, decode_path
from serjax.inference.load import load
from serjax.inference.windows import LONGEST, spread
from serjax.models.layers.masking import length_mask
from serjax.models.layers.pooling import masked_mean, masked_mean_and_deviation
from serjax.models.layers.standardize import unit_variance
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint

Pool = Literal["mean", "std", "stat", "max", "none"]
"""From the frames of a clip to one vector: their mean, their standard deviation (divided by n), mean and deviation side
by side, the largest value of each feature; or none, and every frame is kept."""

HEAD = "head"
"""In place of layers: the vectors that the classifiers of a model take."""


class Settings(NamedTuple):
    """Settings of embeddings, which are written beside them.

    Attributes:
        encoder: the model as it was given.
        fingerprint: hash of its weights and of the settings of its input.
        layer: numbers of the layers, or "head".
        pool: of the frames; None with "head".
    """

    encoder: str
    fingerprint: str
    layer: tuple[int, ...] | str
    pool: str | None

    @property
    def key(self) -> str:
        """A hash of all that decides a clip's embedding beside its samples."""
        return fingerprint(*self[1:])


class EncoderLayers:
    """Layers of a speech encoder, pooled over the frames of a clip.

    A clip above 30 s, whose attention would grow as its square (or above what the encoder has positions for, where that
    is less), has the mean of its windows' vectors (`serjax.inference.windows.spread`); without pooling it is cut into
    parts whose frames follow each other, as many as of the whole. Each is prepared as a clip of its own.

    Attributes:
        settings: of the embeddings.
        notes: sentences on how the checkpoint was read.
        windowed: what is said of clips above 30 s, after "3 clips were".
    """

    def __init__(self, encoder: PretrainedEncoder, source: str, layers: Sequence[int], pool: Pool = "mean") -> None:
        """Keep the encoder.

        Args:
            encoder: with its weights.
            source: its name.
            layers: as transformers counts hidden states, 0 the first block's input; negative ones from the end.
            pool: of the frames. Values of several layers stand side by side.

        Raises:
            UserError: there is no such layer or pooling.
        """
        if pool not in get_args(Pool):
            raise UserError(f"--pool: got {pool!r}; give {', '.join(get_args(Pool))}.")
        config = encoder.config
        last = config.num_hidden_layers
        for layer in layers:
            if not -last - 1 <= layer <= last:
                raise UserError(
                    f"--layer {layer}: {source} has layers 0 (the first block's input) to {last} (the last block's "
                    f"output); give one of them, or {-last - 1} to -1 from the end."
                )
        self._pool, self._layers = pool, tuple(layer % (last + 1) for layer in layers)
        self._graphdef, self._state = nnx.split(encoder.module)
        self._normalize = encoder.preprocessor.normalize
        self._grid = FrameGrid(config.frame_hop, config.receptive_field)
        self._least, self._squeezed = config.min_samples, config.squeezed
        most = config.max_samples
        self._longest = round(LONGEST * SAMPLE_RATE) if most is None else min(round(LONGEST * SAMPLE_RATE), most)
        made = fingerprint(self._state, encoder.preprocessor)
        self.settings = Settings(source, made, self._layers, pool)
        self.notes = encoder.notes
        how = "cut into parts whose frames follow each other" if pool == "none" else "averaged over their windows"
        self.windowed = f"longer than {self._longest / SAMPLE_RATE:g} s and {how}"

    def columns(self, width: int) -> list[str]:
        """Return the names of so many values, those of several layers one after the other."""
        names = [f"layer{layer}_" if len(self._layers) > 1 else "" for layer in self._layers]
        return [f"{name}f{i}" for name in names for i in range(width // len(names))]

    def read(self, path: str) -> Sample:
        """Return a clip as the encoder takes it, before its own normalisation.

        Raises:
            UserError: it cannot be decoded, or is shorter than one frame.
        """
        (wave, notes), least = decode_path(path), self._least
        if len(wave) < least:
            raise UserError(
                f"{path}: it has {len(wave)} samples at 16 kHz, but the encoder's first frame takes {least}; give a "
                "longer one."
            )
        return Sample(wave, notes=notes)

    def pieces(self, wave: Float32[np.ndarray, "t"]) -> list[Float32[np.ndarray, "_"]]:
        """Return the stretches of a clip that go through the encoder: one, where it lasts no more than 30 s."""
        longest = self._longest
        if len(wave) <= longest:
            return [wave]
        if self._pool != "none":
            return [wave[start : start + longest] for start in spread(len(wave), longest)]
        count = self._grid.frames(len(wave))
        most = self._grid.frames(longest) // self._squeezed * self._squeezed  # none is left over within a clip
        starts = range(0, count, most)
        ends = [self._grid.hop_length * first + self._grid.samples(most) for first in starts[:-1]]
        # The last samples of a clip make no frame, but count in its level.
        return [
            wave[self._grid.hop_length * first : end] for first, end in zip(starts, [*ends, len(wave)], strict=True)
        ]

    def embed(self, samples: Sequence[Sample]) -> Iterator[tuple[int, Float32[np.ndarray, "*n d"]]]:
        """Yield the place and the embedding of each clip, [d] or, without pooling, [n d]; in no certain order.

        Raises:
            UserError: values that are not finite.
        """
        pieces = [(owner, wave) for owner, sample in enumerate(samples) for wave in self.pieces(sample.wave)]
        waiting = Counter(owner for owner, _ in pieces)
        found: dict[int, np.ndarray] = {}
        for batch in batches([len(wave) for _, wave in pieces]):
            inputs = join([pieces[place][1] for place in batch])
            values, counts = jax.device_get(
                _embed(
                    self._state,
                    inputs.wave,
                    inputs.lengths,
                    graphdef=self._graphdef,
                    normalize=self._normalize,
                    layers=self._layers,
                    pool=self._pool,
                )
            )
            for place, row, count in zip(batch, values, counts, strict=True):
                found[place] = row[:count] if self._pool == "none" else row
                waiting[owner := pieces[place][0]] -= 1
                if not waiting[owner]:
                    own = [found.pop(at) for at, (other, _) in enumerate(pieces) if other == owner]
                    yield owner, _finite(np.concatenate(own) if self._pool == "none" else _mean(own))


class ClassifierInputs:
    """The vector that the classifier of each member of an ensemble takes of a clip; see `Ensemble.embeddings`.

    Attributes:
        settings: of the embeddings.
        notes: sentences on how the model was read.
        windowed: what is said of clips that are longer than the model hears at once, after "3 clips were".
    """

    def __init__(self, ensemble: Ensemble, source: str) -> None:
        """Keep the ensemble."""
        self._ensemble = ensemble
        self.settings = Settings(source, ensemble.fingerprint(), HEAD, None)
        self.notes = ensemble.notes
        seconds = ensemble.max_seconds or LONGEST
        self.windowed = f"longer than the {seconds:g} s that the model hears and averaged over their windows"

    def columns(self, width: int) -> list[str]:
        """Return the names of so many values, those of several folds one after the other."""
        members, folds = len(self._ensemble.scoring.weights), self._ensemble.folds
        seeds = members // len(folds)
        names = [
            (f"seed{seed}_" if seeds > 1 else "") + (f"fold{fold}_" if members > 1 else "")
            for seed in range(seeds)
            for fold in folds
        ]
        return [f"{name}f{i}" for name in names for i in range(width // members)]

    def read(self, path: str) -> Sample:
        """Return a clip as the models take it, filtered and without silence as those of the training were.

        Raises:
            UserError: as `Ensemble.read`.
        """
        return self._ensemble.read(path)

    def pieces(self, wave: Float32[np.ndarray, "t"]) -> list[Float32[np.ndarray, "_"]]:
        """Return the windows of a clip."""
        return self._ensemble.windows(Sample(wave))

    def embed(self, samples: Sequence[Sample]) -> Iterator[tuple[int, Float32[np.ndarray, "d"]]]:
        """Yield the place and the embedding of each clip.

        Raises:
            UserError: values that are not finite.
        """
        for batch in batches([len(sample.wave) for sample in samples]):
            found = self._ensemble.vectors([samples[place] for place in batch])
            yield from ((place, _finite(row.reshape(-1))) for place, row in zip(batch, found, strict=True))


Embedder = EncoderLayers | ClassifierInputs


def load_embedder(
    source: str, layers: Sequence[int] | Literal["head"] | None = None, pool: Pool | None = None
) -> Embedder:
    """Return what makes embeddings of a model.

    Args:
        source: a run, or a Hugging Face directory or hub id.
        layers: numbers of layers; or "head", for what the classifiers take. By default "head" of a run, the last layer
            of another model.
        pool: of the frames of layers; by default the mean.

    Raises:
        UserError: there is no such model or layer; a pooling is asked of "head"; or layers of a model without an
            encoder, or with one a fold.
    """
    folder = resolve(source)
    is_run = not is_checkpoint(folder)
    if layers == HEAD or (layers is None and is_run):
        if pool is not None:
            raise UserError(
                f"--pool {pool}: vectors that a classifier takes are pooled already; leave it out, or name a --layer "
                "of an encoder."
            )
        return ClassifierInputs(load(folder), source)
    if is_run:
        model = read_run(folder).model
        if not isinstance(model, Speech):
            raise UserError(
                f"{source}: its model, {model.description}, is no speech encoder whose layers could be named; leave "
                "--layer out for the vector that its classifier takes."
            )
    chosen = (-1,) if layers is None or isinstance(layers, str) else layers
    return EncoderLayers(load_encoder(folder), source, chosen, pool or "mean")


def digest(sample: Sample) -> str:
    """Return a hash of a clip's samples, as a run's folds.json has them; where it has video, of its frames too."""
    wave = content_hash(np.asarray(sample.wave, "<f4"))
    return wave if sample.frames is None else fingerprint(wave, sample.frames)


@partial(jax.jit, static_argnames=("graphdef", "normalize", "layers", "pool"))
def _embed(
    state: nnx.State,
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    *,
    graphdef: nnx.GraphDef[Any],
    normalize: bool,
    layers: tuple[int, ...],
    pool: Pool,
) -> tuple[Float[Array, "b *frames e"], Int[Array, "b"]]:
    """Return pooled layers, or all frames, and the number of true frames; layers above those are not computed."""
    encoder: Any = nnx.merge(graphdef, state)
    wave = unit_variance(wave, lengths, encoder.config.wave_epsilon) if normalize else wave
    output = encoder(wave, lengths)
    found = [_pooled(output.hidden_states[layer], output.lengths, pool) for layer in layers]
    return jnp.concatenate(found, axis=-1), output.lengths


def _pooled(x: Float[Array, "b n d"], count: Int[Array, "b"], pool: Pool) -> Float[Array, "b *frames e"]:
    if pool == "mean":
        return masked_mean(x, count)
    if pool == "max":
        return jnp.max(jnp.where(length_mask(count, x.shape[1])[:, :, None], x, -jnp.inf), axis=1)
    if pool in ("std", "stat"):
        both = masked_mean_and_deviation(x, count)
        return both if pool == "stat" else both[:, x.shape[2] :]
    return x


def _mean(windows: Sequence[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.stack(windows).mean(axis=0, dtype=np.float32)
    return mean


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UserError("an embedding holds NaN or infinity: the weights are damaged; train or fetch them again.")
    return values
