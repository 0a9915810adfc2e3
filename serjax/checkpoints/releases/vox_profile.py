"""The emotion models of Vox-Profile, such as `tiantiaf/wavlm-large-categorical-emotion` and its Whisper.

config.json holds the arguments of the published class: the encoder's name (`pretrain_model`), how it was trained
(`finetune_method`), `hidden_dim`, `use_conv_output`. Layout: github.com/tiantiaf0627/vox-profile-release
(src/model/emotion). With LoRA the feed-forward layers of the upper half are those of loralib, which adds the low-rank
product, divided by its rank, when a model is put into evaluation; here it is added when the file is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serjax.checkpoints.bundle import Models
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.releases.encoders import named_encoder
from serjax.checkpoints.single_model import refuse_layer_sum, single_model
from serjax.evaluation.tasks import Task
from serjax.models.classifiers.vox_profile import DIMENSIONS, VoxProfileClassifier, VoxProfileLayout
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.functional import abstract
from serjax.models.published import LayerSum
from serjax.runtime.constraints import read_as
from serjax.runtime.errors import UserError, brief

EMOTIONS = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise", "Other")
"""Names of the classes, which stand in the release's examples and in none of its files."""
SECONDS = 15.0
"""The longest stretch that is heard: Whisper's window here, and for all models what their authors ask for."""
_BACKBONE = "backbone_model."
_ENCODERS = {
    "wavlm": "microsoft/wavlm-base-plus",
    "wavlm_large": "microsoft/wavlm-large",
    "whisper_tiny": "openai/whisper-tiny",
    "whisper_base": "openai/whisper-base",
    "whisper_small": "openai/whisper-small",
    "whisper_large": "openai/whisper-large-v3",
}
"""By pretrain_model."""
_POSITIONS = "encoder.embed_positions.weight"
_LORA_IN, _LORA_OUT = ".lora_A", ".lora_B"


@dataclass(frozen=True)
class _Config:
    """Keys of config.json that decide what is computed."""

    pretrain_model: str
    finetune_method: str
    use_conv_output: bool = True


def read(source: str, directory: Path) -> Checkpoint:
    """Read the files of a release: config.json, and its weights with LoRA merged.

    Raises:
        UserError: a file is missing or damaged, its encoder is none that is known, or its LoRA does not fit.
    """
    path = directory / "config.json"
    config = read_as(_Config, path, "give the config.json that was published with the weights")
    name = _ENCODERS.get(config.pretrain_model)
    if name is None:
        raise UserError(
            f"{path}: pretrain_model is {brief(config.pretrain_model)}; serjax knows {', '.join(_ENCODERS)}; give "
            "such a model."
        )
    encoder, normalize = named_encoder(name, directory, f"{path}: pretrain_model")
    tensors, notes = _merged(read_tensors(directory), source)
    if isinstance(encoder, WhisperConfig):
        encoder = replace(encoder, max_source_positions=round(SECONDS * 16_000) // encoder.frame_hop)
        tensors = _window(tensors, encoder.max_source_positions)
    settings = {"use_conv_output": config.use_conv_output}
    return Checkpoint(source, settings, encoder, Preprocessor(normalize, return_attention_mask=True), tensors, notes)


def answer(checkpoint: Checkpoint, layer_sum: LayerSum | None) -> Models:
    """Return the models of a release: emotions, and as a second task dimensions, where it has both.

    Raises:
        UserError: its weights do not fit, it has no head of emotion, or a sum of layers is asked for that it has not.
    """
    tensors, encoder = checkpoint.tensors, checkpoint.encoder
    emotion, width = tensors.get("emotion_layer.2.weight"), tensors.get("model_seq.0.weight")
    dimensions = f"{DIMENSIONS[0]}_layer.2.weight" in tensors
    if width is None or not width.ndim or (emotion is None and not dimensions):
        found = sorted({key.partition(".")[0] for key in tensors if not key.startswith(_BACKBONE)})
        raise UserError(
            f"{checkpoint.source}: its head is none of emotion that serjax knows; it has {', '.join(found) or 'none'}, "
            "and model_seq with emotion_layer or arousal_layer, valence_layer and dominance_layer were expected."
        )
    whisper = encoder.mel_bins is not None
    if whisper:
        refuse_layer_sum(checkpoint, layer_sum)
    classes = 0 if emotion is None else len(emotion) if emotion.ndim else 1
    layout = VoxProfileLayout(
        width=len(width),
        emotions=classes,
        dimensions=dimensions,
        # The published Whisper has weights of layers, and takes the last one all the same.
        states="last" if whisper else "sum" if checkpoint.config["use_conv_output"] else "layers",
        normalize=checkpoint.preprocessor.normalize,
        normalize_last=layer_sum != "5",
    )
    model = abstract(lambda rngs: VoxProfileClassifier(encoder, layout, rngs=rngs))
    own = {"model_seq", *model.heads, *([] if whisper else ["weights"])}
    unused = [key for key in tensors if not key.startswith(_BACKBONE) and key.partition(".")[0] not in own]
    notes = _notes(checkpoint, unused, whisper, classes)
    labels = EMOTIONS if classes == len(EMOTIONS) else tuple(f"LABEL_{number}" for number in range(classes))
    tasks = [Task("emotion", "class", labels)] if classes else []
    tasks += [Task("dimensions", "dimensions", DIMENSIONS, ((0.0, 1.0),) * len(DIMENSIONS))] if dimensions else []
    models = single_model(checkpoint, model, tasks[0].outputs, "softmax", unused=unused, notes=notes)
    return models._replace(tasks=tuple(tasks), max_seconds=SECONDS)


def _notes(checkpoint: Checkpoint, unused: list[str], whisper: bool, classes: int) -> tuple[str, ...]:
    """Return what is to be said of heads that are not answered, and of classes without a name."""
    heads = sorted({key.partition(".")[0] for key in unused} - ({"weights"} if whisper else set()))
    notes = [f"{checkpoint.source} also holds {', '.join(heads)}, which is not answered."] if heads else []
    if classes not in (0, len(EMOTIONS)):
        notes.append(
            f"{checkpoint.source}: it has {classes} classes; names were published for {len(EMOTIONS)}, and these are "
            "numbered."
        )
    return tuple(notes)


def _merged(tensors: Mapping[str, np.ndarray], source: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return weights to which LoRA's product is added, divided by its rank, and a sentence on it.

    Raises:
        UserError: one of the two factors is missing, or they do not fit the weight.
    """
    found = {key: tensor for key, tensor in tensors.items() if not key.endswith((_LORA_IN, _LORA_OUT))}
    layers = sorted({key.removesuffix(end) for key in tensors for end in (_LORA_IN, _LORA_OUT) if key.endswith(end)})
    ranks = set()
    for layer in layers:
        down, up, weight = (tensors.get(layer + end) for end in (_LORA_IN, _LORA_OUT, ".weight"))
        if down is None or up is None or weight is None:
            raise UserError(f"{source}: {layer} has not all of weight, lora_A and lora_B; fetch the weights again.")
        rank = len(down) if down.ndim else 0
        if rank == 0 or down.shape != (rank, *weight.shape[1:]) or up.shape != (*weight.shape[:1], rank):
            raise UserError(
                f"{source}: lora_A {down.shape} and lora_B {up.shape} of {layer} do not fit its weight {weight.shape}; "
                "give weights of one model."
            )
        change = up.astype(np.float32) @ down.astype(np.float32)
        found[f"{layer}.weight"] = weight.astype(np.float32) + change / rank
        ranks.add(rank)
    if not layers:
        return found, ()
    shown = " and ".join(map(str, sorted(ranks)))
    return found, (f"{source}: LoRA of rank {shown} is merged into {len(layers)} layers of its encoder.",)


def _window(tensors: dict[str, Any], positions: int) -> dict[str, Any]:
    """Return Whisper's weights without the decoder, and with the positions that the published class encodes by."""
    found = {key: tensor for key, tensor in tensors.items() if not key.startswith(f"{_BACKBONE}decoder.")}
    stored = found.pop("embed_positions", found.get(_BACKBONE + _POSITIONS))
    if stored is not None:
        found[_BACKBONE + _POSITIONS] = stored[:positions] if stored.ndim else stored
    return found
