"""Classifiers of video: a ResNet18 on frames, or a network on face features such as action units."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from serjax.models.inputs import Inputs
from serjax.models.layers.image import linear
from serjax.models.layers.masking import length_mask
from serjax.models.layers.pooling import masked_mean
from serjax.models.layers.standardize import Standardizer
from serjax.models.networks.resnet import WIDTHS, ResNet18, normalize
from serjax.video.augment import change
from serjax.video.config import VideoAugment, VideoConfig


class FaceFeaturesNet(nnx.Module):
    """Standardisation, Linear to the width of a ResNet18, ReLU; and a Linear layer, called as `VideoNet` is."""

    def __init__(self, features: int, classes: int, *, rngs: nnx.Rngs):
        self.standardize = Standardizer(features)
        self.hidden = linear(features, WIDTHS[-1], rngs)
        self.fc = linear(WIDTHS[-1], classes, rngs)

    def __call__(
        self,
        values: Float[Array, "b f d"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits; arguments as for `VideoNet`."""
        return self.fc(masked_mean(*self.sequence(values, counts, key, weight)))

    def sequence(
        self,
        values: Float[Array, "b f d"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b f 512"], Int[Array, "b"]]:
        """Return a vector a frame, and how many of them are a clip's own; no row depends on another."""
        return jax.nn.relu(self.hidden(self.standardize(values))), counts


class VideoNet(nnx.Module):
    """ResNet18 a frame, the mean over a clip's frames and a Linear layer: 11,180,616 parameters for 8 classes."""

    def __init__(
        self, classes: int, *, augment: VideoAugment | None = None, trained: int | None = None, rngs: nnx.Rngs
    ):
        """Build the network with random weights.

        Args:
            classes: Number of classes.
            augment: What training does to clips; None: nothing.
            trained: Train only so many of the ResNet's last stages, and the Linear layer; None: everything.
            rngs: Source of the weights.
        """
        self.augment = augment
        self.trained = trained
        self.resnet = ResNet18(rngs=rngs)
        self.fc = linear(WIDTHS[-1], classes, rngs)

    def __call__(
        self,
        video: UInt8[Array, "b f h w 3"],
        counts: Int[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            video: Frames of clips, red, green and blue from 0 to 255; beyond a clip's frames they may be anything.
            counts: How many frames each clip has, 0 for none; None: all have all.
            key: Random key of training (augmentation, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
        """
        x, counts = self.sequence(video, counts, key, weight)
        return self.fc(masked_mean(x, counts))

    def sequence(
        self,
        video: UInt8[Array, "b f h w 3"],
        counts: Int[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b f 512"], Int[Array, "b"]]:
        """Return a vector a frame and how many of them are a clip's own; arguments as for a call."""
        batch, frames, *picture = video.shape
        counts = jnp.full(batch, frames) if counts is None else jnp.minimum(counts, frames)
        shown = video if key is None or self.augment is None else change(key, video, self.augment)
        image = normalize(shown).astype(self.resnet.conv1.kernel[...].dtype)
        real = None
        if key is not None:
            real = length_mask(counts if weight is None else jnp.where(weight > 0, counts, 0), frames).reshape(-1)
        return self.resnet(image.reshape(-1, *picture), real, self.trained).reshape(batch, frames, -1), counts


class VideoClassifier(nnx.Module):
    """Video branch of a fusion, alone: names in it are those of the branch."""

    def __init__(self, num_classes: int, config: VideoConfig, *, augment: bool = False, rngs: nnx.Rngs):
        """Build the model with random weights; `augment` changes frames in training as the settings say."""
        self.video = build_branch(num_classes, config, augment=augment, rngs=rngs)

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits; arguments are those of `VideoNet`, and sound is not used."""
        return self.video(*inputs.frames, key, weight)


def build_branch(
    num_classes: int, config: VideoConfig, *, augment: bool, trained: int | None = None, rngs: nnx.Rngs
) -> VideoNet | FaceFeaturesNet:
    """Return a network on video with random weights.

    Args:
        num_classes: Number of classes.
        config: Input of the network.
        augment: Change frames in training as the settings say.
        trained: Train only so many of the ResNet's last stages; None: everything.
        rngs: Source of the weights.
    """
    if config.num_face_features is not None:
        return FaceFeaturesNet(config.num_face_features, num_classes, rngs=rngs)
    return VideoNet(num_classes, augment=config.augment if augment else None, trained=trained, rngs=rngs)
