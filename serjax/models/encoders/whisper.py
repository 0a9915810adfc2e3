"""Whisper's encoder (Radford et al., 2022): log-mel spectrogram, two convolutions, sinusoids, pre-LN layers.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from serjax.audio.spectrogram import AMIN, frame_count, mel_filters, spectrogram
from serjax.models.encoders.attention import Attention, linear
from serjax.models.encoders.stack import BaseEncoder, EncoderOutput, check_waves, run_layer
from serjax.models.encoders.whisper_config import HOP, WhisperConfig
from serjax.models.layers.activations import ACTIVATIONS, dropout, gelu, split
from serjax.models.layers.convolution import strided
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask, span_mask

N_FFT = 400
"""Samples of a transform and of its window, 25 ms."""
RANGE = 8.0
"""Decades of power below a clip's maximum that are told apart."""


def log_mel(wave: Float[Array, "b t"], lengths: Int[Array, "b"], mels: int, longest: int) -> Float32[Array, "b n m"]:
    """Return the log-mel spectrogram of clips that are followed by silence, as WhisperFeatureExtractor computes it.

    (max(log10 power, clip's maximum - 8) + 4) / 4 of slaney's filters, in float32; frame i stands in the middle of
    samples 160 i - 200 to 160 i + 200. All frames that see a sample of a row come out, and no more than `longest` has;
    what follows them would be the value of silence, (max(-10, maximum - 8) + 4) / 4.

    Args:
        wave: Samples at 16 kHz; what follows a clip is not read.
        lengths: True samples of each clip.
        mels: Number of filters.
        longest: Samples that the extractor pads to; t is at most that.
    """
    samples, half = wave.shape[1], N_FFT // 2
    wave = jnp.where(length_mask(lengths, samples), wave.astype(jnp.float32), 0)
    # The first frame sees its mirror image, and so does one at the end of the longest clip.
    before = jnp.flip(wave[:, 1 : half + 1], axis=1)
    if samples == longest:
        after, count = jnp.flip(wave[:, -half - 1 : -1], axis=1), longest // HOP
    else:
        after, count = jnp.zeros((wave.shape[0], N_FFT)), (samples + half - 1) // HOP + 1
    around = jnp.concatenate([before, wave, after], axis=1)
    assert frame_count(around.shape[1], N_FFT, HOP, None) >= count
    power = spectrogram(around, N_FFT, HOP, pad_mode=None)[:, :, :count]
    filters = mel_filters(N_FFT, mels, scale="slaney", norm="slaney")
    # A GPU's short products would cost the quiet bands their digits.
    mel = jnp.log10(jnp.maximum(jnp.einsum("mf,bfn->bnm", filters, power, precision="highest"), AMIN))
    return (jnp.maximum(mel, jnp.max(mel, axis=(1, 2), keepdims=True) - RANGE) + 4) / 4


def sinusoids(length: int, width: int) -> Float32[np.ndarray, "n d"]:
    """Return sines and then cosines of positions, of wavelengths from 2 pi to 20000 pi."""
    rates = np.exp(-math.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


class EncoderLayer(nnx.Module):
    """Attention and feed-forward with residuals, and norms before them."""

    def __init__(self, config: WhisperConfig, *, rngs: nnx.Rngs):
        size = config.d_model
        self.rate, self.activation_dropout = config.dropout, config.activation_dropout
        self.activation = ACTIVATIONS[config.activation_function]
        self.self_attn = Attention(config, key_bias=False, rngs=rngs)
        self.self_attn_layer_norm = LayerNorm(size, epsilon=1e-5, rngs=rngs)
        self.fc1 = linear(size, config.encoder_ffn_dim, rngs)
        self.fc2 = linear(config.encoder_ffn_dim, size, rngs)
        self.final_layer_norm = LayerNorm(size, epsilon=1e-5, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"], key: PRNGKeyArray | None, attentions: bool = False
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return the next hidden states and, if asked for, the attention's shares; masked frames are not looked at."""
        shares, residual, inner, outer = split(key, 4)
        y, weights = self.self_attn(self.self_attn_layer_norm(x), mask, shares, shares=attentions)
        x = x + dropout(y, self.rate, residual)
        y = self.activation(self.fc1(self.final_layer_norm(x)))
        y = self.fc2(dropout(y, self.activation_dropout, inner))
        return x + dropout(y, self.rate, outer), weights


class Encoder(nnx.Module):
    """Convolutions, positions and the stack of layers."""

    def __init__(self, config: WhisperConfig, *, rngs: nnx.Rngs):
        size = config.d_model
        self.rate, self.layerdrop = config.dropout, config.encoder_layerdrop
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.conv1 = nnx.Conv(config.num_mel_bins, size, 3, kernel_init=bound, rngs=rngs)
        self.conv2 = nnx.Conv(size, size, 3, kernel_init=bound, rngs=rngs)
        self.embed_positions = nnx.Embed(
            config.max_source_positions,
            size,
            embedding_init=lambda _, shape, dtype: jnp.asarray(sinusoids(*shape), dtype),
            rngs=rngs,
        )
        self.layers = nnx.List([EncoderLayer(config, rngs=rngs) for _ in range(config.encoder_layers)])
        self.layer_norm = LayerNorm(size, epsilon=1e-5, rngs=rngs)

    def __call__(
        self,
        mel: Float[Array, "b m c"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        frozen_layers: int | None,
        remat: bool,
        attentions: bool = False,
        normalize_last: bool = True,
        first: int | None = None,
    ) -> tuple[tuple[Float[Array, "b n d"], ...], tuple[Float[Array, "b h n n"], ...]]:
        """Return hidden states (the first layer's input, each layer's output, the last normalised) and attention.

        Args:
            mel: Spectrogram of 2 n + 1 frames: the last one is seen by the last frame of the encoder. With `first` the
                input [b n d] of that layer, and what comes before it is left out.
            mask: True where a frame is looked at.
            key: Random key for dropout and layerdrop; None for neither.
            frozen_layers: So many layers, and what is before them, run without either; None for no frozen part.
            remat: Recompute each layer in the backward pass.
            attentions: Return attention; else there is none.
            normalize_last: Normalise the last state.
            first: Number of the layer to begin with; None for what comes before the layers, too.
        """
        stem, *keys = split(key, 1 + len(self.layers))
        x = mel
        if first is None:
            x = _convolved(mel, self.conv1, 1)
            x = _convolved(x, self.conv2, 2)
            x = x + self.embed_positions.embedding[...][: x.shape[1]]
            x = x if frozen_layers is not None else dropout(x, self.rate, stem)
        states = [x]
        shares = []
        for index, layer in tuple(enumerate(self.layers))[first or 0 :]:
            layer_key = None if frozen_layers is not None and index < frozen_layers else keys[index]
            state, weights = run_layer(
                layer, states[-1], mask, layer_key, attentions=attentions, layerdrop=self.layerdrop, remat=remat
            )
            states.append(state)
            shares += [] if weights is None else [weights]
        if normalize_last:
            states[-1] = self.layer_norm(states[-1])
        return tuple(states), tuple(shares)


def _convolved(x: Float[Array, "b n i"], conv: nnx.Conv, stride: int) -> Float[Array, "b m o"]:
    """Return the convolution, padded by one frame of zeros before x, and its GELU."""
    assert conv.bias is not None
    y = strided(jnp.pad(x, ((0, 0), (1, 0), (0, 0))), conv.kernel[...], stride) + conv.bias[...]
    return gelu(y).astype(x.dtype)


class SpeechEncoder(BaseEncoder):
    """Log-mel spectrogram, SpecAugment and `Encoder`.

    The two ways of padding are two functions. transformers: clips are padded with silence to `max_samples`, whose
    frames are looked at too, as in the original. exact: a clip's frames look at each other alone; up to the first layer
    they are the original's. A clip of `max_samples` is encoded alike by both.
    """

    config: WhisperConfig

    def __init__(self, config: WhisperConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.encoder = Encoder(config, rngs=rngs)

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        padding: Literal["exact", "transformers"] = "exact",
        frozen_layers: int | None = None,
        remat: bool = False,
        attentions: bool = False,
        normalize_last: bool = True,
    ) -> EncoderOutput:
        """Encode a batch of clips; see `BaseEncoder`.

        The spectrogram is computed in float32 from waves of any dtype. With padding="transformers" there are
        `max_source_positions` frames, of which the clip's are the first; with "exact" as many as t has.
        """
        check_waves(self.config, wave)
        config, longest = self.config, self.config.max_samples
        masks, layers = split(key, 2)
        # A batch may be padded further than any clip of it reaches.
        wave = wave[:, :longest]
        if padding == "transformers" or wave.shape[1] + N_FFT > longest:
            wave = jnp.pad(wave, ((0, 0), (0, longest - wave.shape[1])))
        mel = log_mel(wave, lengths, config.num_mel_bins, longest)
        if masks is not None and config.apply_spec_augment:
            mel = self._augment(mel, lengths, masks)
        size, count = config.frames(wave.shape[1]), config.frames(lengths)
        mel = _fitted(mel, 2 * size + 1).astype(self.encoder.conv1.kernel[...].dtype)
        looked = length_mask(count if padding == "exact" else jnp.full_like(count, size), size)
        parts = {"remat": remat, "attentions": attentions, "normalize_last": normalize_last}
        states, shares = self.encoder(mel, looked, layers, frozen_layers=frozen_layers, **parts)
        return EncoderOutput(states, count, shares)

    def above(
        self,
        x: Float[Array, "b n d"],
        count: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        first: int,
        remat: bool = False,
    ) -> tuple[Float[Array, "b n d"], ...]:
        """Return the last hidden states, from that of index `first`, which is given; with padding="exact"."""
        layers = split(key, 2)[1]
        looked = length_mask(count, x.shape[1])
        return self.encoder(x, looked, layers, frozen_layers=first, remat=remat, first=first)[0]

    def _augment(
        self, mel: Float[Array, "b n m"], lengths: Int[Array, "b"], key: PRNGKeyArray
    ) -> Float[Array, "b n m"]:
        """Put zero over spans of the spectrogram's frames, and of its filters (Park et al., 2019)."""
        config, (time, feature) = self.config, jax.random.split(key)
        if config.mask_time_prob > 0:
            spans = config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            mel = jnp.where(span_mask(time, lengths // HOP, mel.shape[1], *spans)[:, :, None], 0, mel)
        if config.mask_feature_prob > 0:
            spans = config.mask_feature_prob, config.mask_feature_length, config.mask_feature_min_masks
            bins = jnp.full_like(lengths, mel.shape[2])
            mel = jnp.where(span_mask(feature, bins, mel.shape[2], *spans)[:, None], 0, mel)
        return mel


def _fitted(mel: Float[Array, "b n m"], frames: int) -> Float[Array, "b k m"]:
    """Return so many frames; one that follows the longest clip's is zero, as a convolution pads."""
    return jnp.pad(mel[:, :frames], ((0, 0), (0, max(0, frames - mel.shape[1])), (0, 0)))
