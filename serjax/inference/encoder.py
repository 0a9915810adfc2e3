"""Hidden states of clips from a published speech encoder, whose input is prepared as its feature extractor does."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints import huggingface
from serjax.checkpoints.run_models import OLD_ENCODER, read_run
from serjax.data.batching.lengths import bucket
from serjax.inference.inputs import decode_path, rate_of, read_array
from serjax.models.base import DType
from serjax.models.encoders.stack import EncoderOutput
from serjax.models.layers.standardize import unit_variance
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError

Padding = Literal["exact", "transformers"]
Wave = Float[np.ndarray, "t"]


log = logging.getLogger(__name__)


class PretrainedEncoder:
    """A speech encoder with its weights and the preparation of its input, called with clips.

    Attributes:
        config: layout of the encoder.
        preprocessor: preparation of the input, from preprocessor_config.json: normalisation and attention mask.
        module: the encoder itself (Flax NNX), for a model of one's own; it takes prepared waves.
        notes: sentences on what was assumed or not used when the checkpoint was read.
    """

    def __init__(self, loaded: huggingface.Pretrained) -> None:
        """Keep the encoder; nothing is compiled before the first call."""
        self.module, self.preprocessor, self.notes = loaded
        self.config = self.module.config
        self._graphdef, self._state = nnx.split(self.module)

    def __call__(
        self,
        clips: Any,
        lengths: Sequence[int] | np.ndarray | Array | None = None,
        *,
        padding: Padding = "exact",
        attentions: bool = False,
    ) -> EncoderOutput:
        """Return the hidden states of every layer, and the number of frames of each clip.

        Waves become what the checkpoint's feature extractor makes of them (`do_normalize`: zero mean and unit variance
        of each clip over its own samples). Frames beyond a clip's own mean nothing; there are as many as the longest
        clip has. A program is compiled for each number of clips and each of 17 lengths up to 30 s (each length, where
        padding="transformers" makes the padding count).

        Args:
            clips: One clip or a list of clips: samples [t] at 16 kHz, floats in -1..1 or integers; (samples, rate in
                Hz) or {"array": samples, "sampling_rate": rate in Hz}, which are resampled with a warning where the
                rate is another; or a path or URL. Or a batch [b t] at 16 kHz. Samples may be lists of numbers.
            lengths: True samples of each clip of a batch [b t] or of a list of samples, integers [b] as a list or an
                array; by default all. What follows them is not read.
            padding: exact: each clip gives what it gives alone, so that a batch equals `transformers` called with one
                clip after another, whatever the checkpoint. transformers: a batch equals theirs. Statistics of group
                norm include the padding; and where `return_attention_mask` is false, so do normalisation and attention.
                Whisper differs: transformers pads every clip to 30 s, exact encodes its own length, which is another
                function.
            attentions: Return attention weights too.

        Raises:
            UserError: a clip cannot be read, is empty, holds NaN, or is shorter than one frame or longer than the
                encoder has positions for.
        """
        if padding not in get_args(Padding):
            raise UserError(f"padding: got {padding!r}; give {' or '.join(get_args(Padding))}.")
        waves = self._read(clips, lengths)
        true = np.array([len(wave) for wave in waves], np.int32)
        longest = int(true.max())
        counts = padding == "transformers" and self._padding_counts
        batch = np.zeros((len(waves), longest if counts else bucket(longest)), np.float32)
        for row, wave in zip(batch, waves, strict=True):
            row[: len(wave)] = wave
        masked = padding == "exact" or self.preprocessor.return_attention_mask
        output = _encode(
            self._state,
            batch,
            true if masked else np.full_like(true, longest),
            graphdef=self._graphdef,
            normalize=self.preprocessor.normalize,
            padding=padding,
            attentions=attentions,
        )
        output = _cut(output, self.config.frames(longest))
        return output if masked else output._replace(lengths=self.config.frames(jnp.asarray(true)))

    @property
    def _padding_counts(self) -> bool:
        """True where transformers' results depend on the length to which clips are padded."""
        return not self.preprocessor.return_attention_mask or self.config.batch_padding_counts

    def _read(self, clips: Any, lengths: Sequence[int] | np.ndarray | Array | None) -> list[Wave]:
        """Return the clips' samples, mono at 16 kHz."""
        array = hasattr(clips, "ndim")
        if array and clips.ndim == 2:
            clips = list(np.asarray(clips))
        elif array or isinstance(clips, (str, Path, Mapping)) or _is_pair(clips) or _is_wave(clips):
            clips = [clips]
        if not hasattr(clips, "__iter__"):
            raise UserError(f"clips are given as {type(clips).__name__}; give one clip or a list of clips.")
        clips = [np.asarray(clip) if hasattr(clip, "ndim") or _is_numbers(clip) else clip for clip in clips]
        if lengths is not None:
            clips = _cut_to(clips, lengths)
        if not len(clips):
            raise UserError("there are no clips; give at least one.")
        rates = sorted({rate_of(clip) for clip in clips if not hasattr(clip, "ndim")} - {SAMPLE_RATE})
        if rates:
            found = " and ".join(f"{rate:g}" for rate in rates)
            warnings.warn(f"clips of {found} Hz are resampled to {SAMPLE_RATE} Hz.", stacklevel=3)
        waves = [_samples(clip, f"clip {index}") for index, clip in enumerate(clips)]
        least, most = self.config.min_samples, self.config.max_samples
        for index, wave in enumerate(waves):
            if len(wave) < least:
                raise UserError(
                    f"clip {index}: it has {len(wave)} samples at 16 kHz, but the encoder's first frame takes {least}; "
                    "give a longer one."
                )
            if most is not None and len(wave) > most:
                raise UserError(
                    f"clip {index}: it lasts {len(wave) / SAMPLE_RATE:g} s, but {self.config.model_type} has positions "
                    f"for {most / SAMPLE_RATE:g} s; cut it into parts."
                )
        return waves


def _is_pair(clip: Any) -> bool:
    """Return whether this is (samples, rate)."""
    return isinstance(clip, tuple) and len(clip) == 2 and isinstance(clip[1], (int, float, np.number, type(None)))


def _is_wave(clip: Any) -> bool:
    """Return whether this is a list of numbers."""
    return isinstance(clip, (list, tuple)) and len(clip) > 0 and isinstance(clip[0], (int, float, np.number))


def _is_numbers(clip: Any) -> bool:
    """Return whether this is a list of numbers throughout."""
    return _is_wave(clip) and all(isinstance(one, (int, float, np.number)) for one in clip)


def _cut_to(clips: list[Any], lengths: Any) -> list[np.ndarray]:
    """Return clips [t], each cut to its length."""
    if any(not isinstance(clip, np.ndarray) or clip.ndim != 1 for clip in clips):
        raise UserError("lengths belong to a batch [b t], or a list of samples [t]; leave them out for other clips.")
    counts = np.asarray(lengths)
    if counts.shape != (len(clips),) or counts.dtype.kind not in "iu":
        raise UserError(f"lengths are {counts.dtype} {list(counts.shape)}; give {len(clips)} integers, one a clip.")
    for index, (clip, count) in enumerate(zip(clips, counts.tolist(), strict=True)):
        if not 1 <= count <= len(clip):
            raise UserError(f"clip {index}: its length is given as {count}; give 1 to {len(clip)}.")
    return [clip[:count] for clip, count in zip(clips, counts, strict=True)]


def _samples(clip: Any, name: str) -> Wave:
    """Return a clip's samples, mono at 16 kHz.

    Raises:
        UserError: it is given as something else, cannot be decoded, is empty, too short, absurdly large or holds NaN.
    """
    if isinstance(clip, Mapping) and {"array", "sampling_rate"} <= clip.keys():
        clip = clip["array"], clip["sampling_rate"]
    if isinstance(clip, (str, Path)):
        wave, notes = decode_path(clip)
    elif isinstance(clip, tuple) and len(clip) == 2:
        wave, notes = read_array(*clip, name)
    elif _is_wave(clip) or (hasattr(clip, "ndim") and clip.ndim == 1):
        wave, notes = read_array(clip, SAMPLE_RATE, name)
    else:
        found = f"the shape {list(clip.shape)}" if hasattr(clip, "ndim") else f"the type {type(clip).__name__}"
        raise UserError(
            f"{name}: it has {found}; give samples [t] at 16 kHz, (samples, rate in Hz), "
            '{"array": samples, "sampling_rate": rate in Hz} or a path.'
        )
    for note in notes:
        log.warning(note)
    return wave


@partial(jax.jit, static_argnames=("graphdef", "normalize", "padding", "attentions"))
def _encode(
    state: nnx.State,
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    *,
    graphdef: nnx.GraphDef[Any],
    normalize: bool,
    padding: Padding,
    attentions: bool,
) -> EncoderOutput:
    encoder: Any = nnx.merge(graphdef, state)
    wave = unit_variance(wave, lengths, encoder.config.wave_epsilon) if normalize else wave
    return encoder(wave, lengths, padding=padding, attentions=attentions)


@partial(jax.jit, static_argnums=1)
def _cut(output: EncoderOutput, count: int) -> EncoderOutput:
    """Return the first frames."""
    return EncoderOutput(
        tuple(state[:, :count] for state in output.hidden_states),
        output.lengths,
        tuple(shares[:, :, :count, :count] for shares in output.attentions),
    )


def load_encoder(source: str | Path, dtype: DType = "float32") -> PretrainedEncoder:
    """Return the speech encoder of a checkpoint or a run, to be called with clips.

    The checkpoint is that of an encoder alone, of its pretraining or of a task, of any family of
    docs/concepts/checkpoints.md:

        encoder = serjax.load_encoder("facebook/hubert-base-ls960")
        output = encoder([first, second])  # samples [t] at 16 kHz, of any length
        output.hidden_states, output.lengths  # of every layer [b n d], true frames [b]

    Args:
        source: Hugging Face directory or hub id, such as `RUN/fold_1`; or a run whose folds share a frozen encoder, or
            that has one fold.
        dtype: of the weights in memory, in which the encoder computes and answers: float32, or bfloat16 in half the
            memory. Weights are read leaf by leaf from the mapped file, so that loading takes little more than that.

    Raises:
        UserError: the dtype is another; it is a run of another model, or with an encoder a fold; it cannot be found,
            is damaged, is of another architecture, or its weights do not fit its config.
    """
    if dtype not in get_args(DType):
        raise UserError(f"dtype: got {dtype!r}; give {' or '.join(get_args(DType))}.")
    folder = Path(source).expanduser()
    found = _of_run(folder) if (folder / "model.json").is_file() else source
    return PretrainedEncoder(huggingface.load_encoder(str(found), dtype))


def _of_run(folder: Path) -> Path:
    """Return the directory of a run's one encoder."""
    run = read_run(folder)
    if not isinstance(run.model, Speech):
        raise UserError(
            f"{folder}: its model, {run.model.description}, is no speech encoder with a head; for a vector a clip "
            "call serjax.load(RUN).embeddings(clips)."
        )
    if (folder / OLD_ENCODER).is_dir():
        return folder / OLD_ENCODER
    if len(run.folds) > 1 and not run.model.frozen_encoder:
        raise UserError(
            f"{folder}: it has an encoder a fold; name one, such as {folder / f'fold_{run.folds[0]}'}, or call "
            "serjax.load(RUN).embeddings(clips) for vectors of all of them."
        )
    return folder / f"fold_{run.folds[0]}"
