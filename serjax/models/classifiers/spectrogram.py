"""Networks on log-mel spectrograms or hand-made features: from waveforms to logits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE, augment
from serjax.audio.mixup import Pairs, mix
from serjax.models.base import Augmentation
from serjax.models.front_end import FrontEnd, Recordings, augmented
from serjax.models.inputs import Inputs
from serjax.models.layers.activations import split
from serjax.models.layers.heads import NormHead
from serjax.models.layers.masking import length_mask
from serjax.models.layers.standardize import Standardizer
from serjax.models.networks.audio_cnn import SpectrogramNetwork

Networks = Callable[[nnx.Rngs], tuple[nnx.Module, NormHead | None]]
"""Builds a network and, where its output is no logits, a head."""


class SpectrogramClassifier(nnx.Module):
    """Augmentation, front end, standardisation and a network."""

    def __init__(self, front_end: FrontEnd, networks: Networks, augmentation: Augmentation | None, *, rngs: nnx.Rngs):
        """Build the model with random weights.

        Args:
            front_end: Makes the features.
            networks: Builds the network, and its head.
            augmentation: Of training; None: nothing.
            rngs: Source of the weights.
        """
        given = augmentation or Augmentation()
        self.augmentation = given.config
        self.front = front_end
        self.standardize = Standardizer(front_end.features)
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in given.recordings.items()})
        self.network, self.head = networks(rngs)

    @property
    def image(self) -> bool:
        """True where the features are a spectrogram."""
        return self.front.spectrogram is not None

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            inputs: Waves; in training also which clips' features to mix.
            key: Random key of training (augmentation, dropout, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
        """
        *_, inner = split(key, 3)
        x, frames = self.prepared(*inputs.sound, key, inputs.pairs)
        if not self.image:
            return self.network(x, frames, inner)
        body, head = split(inner, 2)
        y = self.network(x.swapaxes(1, 2)[..., None], frames, weight, body)
        return y if self.head is None else self.head(y, head)

    @property
    def widths(self) -> tuple[int, int]:
        """Width of a frame before and after the network, for fusion."""
        return self.front.features, self._network.fc2.in_features

    def seconds_per_frame(self, *, raw: bool) -> float:
        """Return the seconds from one frame of `sequence` to the next."""
        assert self.front.spectrogram is not None
        return (1 if raw else self._network.stride) * self.front.spectrogram.hop / SAMPLE_RATE

    def sequence(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        raw: bool,
        frozen: bool,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return the spectrogram (`raw`) or the network's map, a vector a frame, and how many are true, for fusion."""
        x, frames = self.prepared(wave, lengths, key)
        if raw:
            return x, frames
        x, frames = self._network.sequence(x.swapaxes(1, 2)[..., None], frames, weight, None if frozen else key)
        return (lax.stop_gradient(x) if frozen else x), frames

    def vector(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        frozen: bool,
    ) -> Float[Array, "b d"]:
        """Return the input of the network's last layer, for fusion."""
        x, frames = self.prepared(wave, lengths, key)
        features = self._network.features(x.swapaxes(1, 2)[..., None], frames, weight, None if frozen else key)
        return lax.stop_gradient(features) if frozen else features

    def classify(self, vector: Float[Array, "b d"], key: PRNGKeyArray | None) -> Float[Array, "b c"]:
        """Return the logits of the last layer's input."""
        return self._network.fc2(vector)

    @property
    def _network(self) -> SpectrogramNetwork:
        assert isinstance(self.network, SpectrogramNetwork)
        return self.network

    def prepared(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        pairs: Pairs | None = None,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return the features that the network takes, and true frames.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            key: As of a call.
            pairs: Which clips' features to mix.
        """
        sound, masks, _ = split(key, 3)
        if sound is not None:
            wave, lengths = augmented(wave, lengths, sound, self.augmentation, self.banks)
        x, frames = self.front(wave, lengths)
        x = self.standardize(x)
        if pairs is not None:
            # Behind a clip's end there is nothing to mix: 0, each feature's mean.
            x = mix(jnp.where(length_mask(frames, x.shape[1])[:, :, None], x, 0), pairs)
            frames = pairs.longer(frames)
        if masks is not None and self.image:
            x = self._mask(x, masks)
        # What the features are rounded to, the network's weights say.
        weights = jax.tree.leaves(nnx.state(self.network, nnx.Param))
        return x.astype(weights[0].dtype), frames

    def _mask(self, x: Float[Array, "b n d"], key: PRNGKeyArray) -> Float[Array, "b n d"]:
        """Hide stripes (SpecAugment); 0 is each mel's mean."""
        config = self.augmentation
        if not (config.mel_masks or config.time_masks):
            return x
        return augment.spec_augment(
            key,
            x.swapaxes(1, 2),
            config.mel_width,
            config.time_width,
            config.mel_masks,
            config.time_masks,
            config.mask_p,
        ).swapaxes(1, 2)
