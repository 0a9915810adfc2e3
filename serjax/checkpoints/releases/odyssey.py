"""The baselines of the MSP-Podcast challenge of Odyssey 2024, `3loi/SER-Odyssey-Baseline-WavLM-*`.

config.json has model_type `ser`, the name of the encoder (`ssl_type`), and mean and deviation of the samples that it
was trained on, by which clips are normalised. Layout: github.com/MSP-UTD/MSP-Podcast_Challenge (net/), whose modules
the published class holds as ssl_model, pool_model and ser_model.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from serjax.checkpoints.bundle import Models
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.releases.encoders import named_encoder
from serjax.checkpoints.single_model import labels_of, problem_type, refuse_layer_sum, single_model
from serjax.models.classifiers.odyssey import OdysseyClassifier, OdysseyLayout
from serjax.models.functional import abstract
from serjax.models.published import LayerSum
from serjax.runtime.constraints import Finite, Layers, Positive, Width, read_as
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json

_DIMENSIONS = {"arousal", "dominance", "valence"}
"""Outputs of these names are values, 0 to 1 for the 1 to 7 of MSP-Podcast; others are classes."""


@dataclass(frozen=True)
class _Config:
    """Keys of config.json that decide what is computed."""

    ssl_type: str
    hidden_size: Width
    num_classes: Width
    mean: Finite
    std: Positive
    classifier_hidden_layers: Layers = 1
    sampling_rate: Literal[16_000] = 16_000


def read(source: str, directory: Path) -> Checkpoint:
    """Read the files of a release: config.json, and its weights in any format of transformers.

    Raises:
        UserError: a file is missing or damaged, or its encoder is none that is known.
    """
    path = directory / "config.json"
    config = read_as(_Config, path, "give the config.json that was published with the weights")
    encoder, _ = named_encoder(config.ssl_type, directory, f"{path}: ssl_type")
    if encoder.hidden_size != config.hidden_size:
        raise UserError(
            f"{path}: hidden_size is {config.hidden_size}, but that of {config.ssl_type} is {encoder.hidden_size}; "
            "give the files of one model."
        )
    # What the encoder alone is trained on further: its clips were normalised all alike.
    preprocessor = Preprocessor(normalize=True, return_attention_mask=True)
    settings = {**read_json(path), **asdict(config)}
    return Checkpoint(source, settings, encoder, preprocessor, read_tensors(directory), ())


def answer(checkpoint: Checkpoint, layer_sum: LayerSum | None) -> Models:
    """Return the models of a release.

    Raises:
        UserError: its weights do not fit, its outputs have no names of their own, or a sum of layers is asked for.
    """
    refuse_layer_sum(checkpoint, layer_sum)
    outputs, layers, *moments = (
        checkpoint.config[key] for key in ("num_classes", "classifier_hidden_layers", "mean", "std")
    )
    layout = OdysseyLayout(outputs, layers, *moments)
    labels = labels_of(checkpoint, outputs)
    values = outputs == 1 or {label.lower() for label in labels} <= _DIMENSIONS
    scores = problem_type(checkpoint, "regression" if values else "single_label_classification")
    model = abstract(lambda rngs: OdysseyClassifier(checkpoint.encoder, layout, rngs=rngs))
    return single_model(checkpoint, model, labels, scores)
