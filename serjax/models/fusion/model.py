"""From the sound and the video of a clip to one answer: two encoders, and what joins them."""

from collections.abc import Mapping
from dataclasses import replace

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from serjax.audio import SAMPLE_RATE
from serjax.audio.augment import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.models.encoders.config import EncoderConfig, frame_hop
from serjax.models.fusion.config import FusionConfig, check, check_encoder, trunk_model
from serjax.models.fusion.cross_attention import CrossAttentionFusion
from serjax.models.fusion.heads import ConcatFusion, Fused, GatedFusion, Present, average
from serjax.models.layers.activations import split
from serjax.models.layers.pooling import masked_mean
from serjax.models.networks.audio_cnn import SpectrogramNetwork
from serjax.models.networks.resnet import WIDTHS
from serjax.models.spectrogram import SPECTROGRAMS, Recordings, SoundClassifier, augmented
from serjax.models.speech import Classifier
from serjax.models.video import VideoClassifier, _seeing
from serjax.video.augment import VideoAugment


class FusionModel(nnx.Module):
    """An audio network, a video network and what joins them.

    `audio` is the `SoundClassifier`, or WavLM's `Classifier`, that can be trained alone, and `video` the `VideoNet`, so
    that names and shapes in a branch are those of runs of the branch. Both keep their last layers, as in the original,
    though `late` alone uses them. What is frozen (`fusion_freezing.is_frozen`) runs in evaluation mode.
    """

    def __init__(
        self,
        experiment: Experiment,
        config: FusionConfig,
        classes: int,
        *,
        banks: Mapping[str, tuple[int, ...]] | None = None,
        encoder: EncoderConfig | None = None,
        normalize: bool = False,
        masked: bool = True,
        video_augment: VideoAugment | None = None,
        units: int | None = None,
        rngs: nnx.Rngs,
    ):
        """Build the model with random weights.

        Args:
            experiment: Length, level and augmentation of sound; WavLM's padding, masks and remat.
            config: The fusion.
            classes: Number of classes.
            banks: Shapes [m s] of the recordings of `noise` and `rooms`, as far as there are any; zeros until given.
            encoder: Layout of WavLM, where the fusion has it.
            normalize: Whether WavLM wants clips of zero mean and unit variance.
            masked: As for `Classifier`.
            video_augment: What training does to video; None: nothing.
            units: Width of the vectors that stand in for pictures; None: there are pictures.
            rngs: Source of the weights.

        Raises:
            UserError: a value of the fusion does not fit.
        """
        check(config)
        check_encoder(config, encoder)
        self.config = config
        self.augmentation = experiment.augment
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in (banks or {}).items()})
        if config.audio == "wavlm" and encoder is not None:
            model = trunk_model(config, experiment.model, encoder)
            self.audio: Classifier | SoundClassifier = Classifier(
                model, encoder, classes, normalize=normalize, masked=masked, rngs=rngs
            )
            inputs = width = encoder.hidden_size
        else:
            model = replace(experiment.model, family=config.audio)
            alone = replace(experiment, model=model, augment=_masks(experiment.augment))
            self.audio = SoundClassifier(alone, classes, {}, rngs=rngs)
            inputs, width = self.audio.front.features, self._network.fc2.in_features
        self.video = _seeing(classes, units, video_augment, config, rngs)
        self.fusion = _fusion(config, inputs, width, classes, rngs)

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        video: UInt8[Array, "b f h w 3"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
        *,
        has_audio: Bool[Array, "b"] | None = None,
        has_video: Bool[Array, "b"] | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits, which are log-probabilities in `late`; arguments as for `fuse`."""
        return self.fuse(wave, lengths, video, counts, key, weight, has_audio=has_audio, has_video=has_video).logits

    def fuse(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        video: UInt8[Array, "b f h w 3"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
        *,
        has_audio: Bool[Array, "b"] | None = None,
        has_video: Bool[Array, "b"] | None = None,
    ) -> Fused:
        """Return the logits, the gate and the attention weights, as far as the fusion has them.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip; 0 where there is no sound.
            video: Frames, red, green and blue from 0 to 255; beyond a clip's frames they may be anything.
            counts: How many frames each clip has; 0 where there is no video.
            key: Random key of training (augmentation, dropout, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
            has_audio: False for clips whose sound is not to be heard; None: all are heard that have any.
            has_video: Likewise.
        """
        changed, hearing, seeing, joining = split(key, 4)
        if changed is not None:
            wave, lengths = augmented(wave, lengths, changed, self.augmentation, self.banks)
        seen, counts = self.video.sequence(video, counts, seeing, weight)
        there = Present(_and(lengths > 0, has_audio), _and(counts > 0, has_video))
        if isinstance(self.fusion, CrossAttentionFusion):
            heard, frames = self._sequence(wave, lengths, hearing, weight)
            frames, counts = jnp.where(there.audio, frames, 0), jnp.where(there.video, counts, 0)
            return self.fusion(heard, frames, seen, counts, joining)
        vector, image = self._vector(wave, lengths, hearing, weight), masked_mean(seen, counts)
        if self.fusion is not None:
            return self.fusion(vector, image, there, joining)
        if isinstance(self.audio, Classifier):
            return Fused(average(self.audio.head.classifier(vector, joining), self.video.fc(image), there))
        return Fused(average(self._network.fc2(vector), self.video.fc(image), there))

    @property
    def audio_step(self) -> float:
        """Seconds from one stretch of sound to the next in the attention."""
        if isinstance(self.audio, Classifier):
            return frame_hop(self.audio.trunk.config) / SAMPLE_RATE
        columns = 1 if self.config.audio_path == "conv" else self._network.stride
        return columns * SPECTROGRAMS[self.config.audio].hop / SAMPLE_RATE

    @property
    def _network(self) -> SpectrogramNetwork:
        assert isinstance(self.audio, SoundClassifier)
        assert isinstance(self.audio.network, SpectrogramNetwork)
        return self.audio.network

    def _sequence(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return what cross-attention looks at, and true frames."""
        if isinstance(self.audio, Classifier):
            states, frames = self.audio.features(wave, lengths, key)
            return self._trained(states[:, -1]), frames
        x, frames = self.audio.prepared(wave, lengths, key)
        if self.config.audio_path == "conv":
            return x, frames
        x, frames = self._network.sequence(x.swapaxes(1, 2)[..., None], frames, weight, self._training(key))
        return self._trained(x), frames

    def _vector(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
    ) -> Float[Array, "b d"]:
        """Return what the audio network's last layers see."""
        if isinstance(self.audio, Classifier):
            return masked_mean(*self._sequence(wave, lengths, key, weight))
        x, frames = self.audio.prepared(wave, lengths, key)
        features = self._network.features(x.swapaxes(1, 2)[..., None], frames, weight, self._training(key))
        return self._trained(features)

    def _training(self, key: PRNGKeyArray | None) -> PRNGKeyArray | None:
        """Return the key for the audio network, which is None where it is frozen."""
        return None if self.config.audio_layers == 0 else key

    def _trained(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return lax.stop_gradient(x) if self.config.audio_layers == 0 else x


def audio_visual(
    experiment: Experiment,
    classes: int,
    *,
    banks: Mapping[str, tuple[int, ...]] | None = None,
    encoder: EncoderConfig | None = None,
    normalize: bool = False,
    masked: bool = True,
    units: int | None = None,
    rngs: nnx.Rngs,
) -> FusionModel | VideoClassifier:
    """Return the experiment's model that looks at video; arguments are those of `FusionModel`."""
    fusion, augment = experiment.fusion, experiment.video.augment
    if experiment.model.family == "video":
        return VideoClassifier(classes, fusion, augment=augment, units=units, rngs=rngs)
    return FusionModel(
        experiment,
        fusion,
        classes,
        banks=banks,
        encoder=encoder,
        normalize=normalize,
        masked=masked,
        video_augment=augment,
        units=units,
        rngs=rngs,
    )


def _fusion(
    config: FusionConfig, inputs: int, audio: int, classes: int, rngs: nnx.Rngs
) -> ConcatFusion | GatedFusion | CrossAttentionFusion | None:
    """Return what joins sequences or vectors of these widths; `late` has no parameters."""
    video = WIDTHS[-1]
    match config.kind:
        case "late":
            return None
        case "concat":
            return ConcatFusion(audio, video, config, classes, rngs=rngs)
        case "gated":
            return GatedFusion(audio, video, config, classes, rngs=rngs)
        case "xattn":
            return CrossAttentionFusion(inputs, audio, video, config, classes, rngs=rngs)


def _masks(augment: AugmentConfig) -> AugmentConfig:
    """Return what happens to spectrograms alone: waves are changed before any network hears them."""
    return AugmentConfig(
        mel_masks=augment.mel_masks,
        mel_width=augment.mel_width,
        time_masks=augment.time_masks,
        time_width=augment.time_width,
        mask_p=augment.mask_p,
    )


def _and(given: Bool[Array, "b"], wanted: Bool[Array, "b"] | None) -> Bool[Array, "b"]:
    return given if wanted is None else given & wanted
