"""Fusion of sound and video: two branches, and the layers that join them."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.audio.config import AugmentConfig
from serjax.models.base import Augmentation
from serjax.models.classifiers.video import build_branch
from serjax.models.front_end import Recordings, augmented
from serjax.models.fusion.config import Fusion
from serjax.models.fusion.cross_attention import CrossAttentionFusion
from serjax.models.fusion.heads import ConcatFusion, Fused, GatedFusion, Present, average
from serjax.models.inputs import Inputs
from serjax.models.layers.activations import split
from serjax.models.layers.pooling import masked_mean
from serjax.models.networks.resnet import WIDTHS


class FusionModel(nnx.Module):
    """An audio branch, a video branch and the layers that join them.

    The branches are the classifiers that can be trained alone, so that names and shapes in a branch are those of runs
    of it. Both keep their last layers, as in the original, though `late` alone uses them. Frozen parts
    (`Fusion.trainable`) run in evaluation mode.
    """

    def __init__(self, config: Fusion, num_classes: int, augmentation: Augmentation | None = None, *, rngs: nnx.Rngs):
        """Build the model with random weights.

        Args:
            config: The fusion and its branches.
            num_classes: Number of classes.
            augmentation: Of sound in training; None: neither sound nor video is changed.
            rngs: Source of the weights.
        """
        given = augmentation or Augmentation()
        self.config = config
        self.augmentation = given.config
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in given.recordings.items()})
        # Waves are augmented before any branch takes them.
        self.audio = config.branch.build(num_classes, augmentation=Augmentation(_masks(given.config)), rngs=rngs)
        self.video = build_branch(
            num_classes, config.video, augment=augmentation is not None, trained=config.video_blocks, rngs=rngs
        )
        self.fusion = _fusion(config, *self.audio.widths, num_classes, rngs)

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits, which are log-probabilities in `late`; arguments as for `fuse`."""
        return self.fuse(inputs, key, weight).logits

    def fuse(
        self,
        inputs: Inputs,
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
        *,
        has_audio: Bool[Array, "b"] | None = None,
        has_video: Bool[Array, "b"] | None = None,
    ) -> Fused:
        """Return the logits, the gate and the attention weights, as far as the fusion has them.

        Args:
            inputs: Waves and video; a length of 0 means that a clip has none.
            key: Random key of training (augmentation, dropout, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
            has_audio: False for clips whose sound is to be ignored; None: all is used.
            has_video: Likewise.
        """
        wave, lengths = inputs.sound
        waves, sound, frames, joining = split(key, 4)
        if waves is not None:
            wave, lengths = augmented(wave, lengths, waves, self.augmentation, self.banks)
        images, num_images = self.video.sequence(*inputs.frames, frames, weight)
        present = Present(_and(lengths > 0, has_audio), _and(num_images > 0, has_video))
        frozen = self.config.audio_layers == 0
        if isinstance(self.fusion, CrossAttentionFusion):
            raw = self.config.audio_path == "conv"
            x, num_frames = self.audio.sequence(wave, lengths, sound, weight, raw=raw, frozen=frozen)
            num_frames, num_images = jnp.where(present.audio, num_frames, 0), jnp.where(present.video, num_images, 0)
            return self.fusion(x, num_frames, images, num_images, joining)
        vector = self.audio.vector(wave, lengths, sound, weight, frozen=frozen)
        image = masked_mean(images, num_images)
        if self.fusion is not None:
            return self.fusion(vector, image, present, joining)
        return Fused(average(self.audio.classify(vector, joining), self.video.fc(image), present))

    @property
    def seconds_per_frame(self) -> float:
        """Seconds from one frame of sound to the next in the attention."""
        return self.audio.seconds_per_frame(raw=self.config.audio_path == "conv")


def _fusion(
    config: Fusion, inputs: int, audio: int, num_classes: int, rngs: nnx.Rngs
) -> ConcatFusion | GatedFusion | CrossAttentionFusion | None:
    """Return the layers that join sequences or vectors of these widths; `late` has none."""
    video = WIDTHS[-1]
    match config.kind:
        case "late":
            return None
        case "concat":
            return ConcatFusion(audio, video, config, num_classes, rngs=rngs)
        case "gated":
            return GatedFusion(audio, video, config, num_classes, rngs=rngs)
        case "xattn":
            return CrossAttentionFusion(inputs, audio, video, config, num_classes, rngs=rngs)


def _masks(augment: AugmentConfig) -> AugmentConfig:
    """Return the augmentation of spectrograms alone."""
    return AugmentConfig(
        mel_masks=augment.mel_masks,
        mel_width=augment.mel_width,
        time_masks=augment.time_masks,
        time_width=augment.time_width,
        mask_p=augment.mask_p,
    )


def _and(given: Bool[Array, "b"], wanted: Bool[Array, "b"] | None) -> Bool[Array, "b"]:
    return given if wanted is None else given & wanted
