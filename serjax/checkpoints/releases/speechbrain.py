"""SpeechBrain's emotion recognition, `speechbrain/emotion-recognition-wav2vec2-IEMOCAP` and recipes of its modules.

hyperparams.yaml is a program that names classes to be made; it is read as plain values, and none is made. Files:
hyperparams.yaml, label_encoder.txt, wav2vec2.ckpt (the encoder) and model.ckpt (the Linear). Layout: SpeechBrain's lobe
of wav2vec 2.0, StatisticsPooling and Linear, and the release's custom_interface.py.
"""

import ast
import re
from pathlib import Path
from typing import Any

from serjax.checkpoints.bundle import Models
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.formats.torch_pickle import read_torch_file
from serjax.checkpoints.formats.yaml_files import read_yaml
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.releases.encoders import named_encoder
from serjax.checkpoints.releases.table import RECIPE
from serjax.checkpoints.single_model import refuse_layer_sum, single_model
from serjax.models.classifiers.speechbrain import SpeechBrainClassifier, SpeechBrainLayout
from serjax.models.functional import abstract
from serjax.models.published import LayerSum
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_bytes

_WEIGHTS = ("wav2vec2.ckpt", "model.ckpt")
_LABELS = "label_encoder.txt"
_MODULES = ("wav2vec2", "avg_pool", "output_mlp")


def read(source: str, directory: Path) -> Checkpoint:
    """Read the files of a release.

    Raises:
        UserError: a file is missing or damaged, or the recipe is made of other modules.
    """
    path = directory / RECIPE
    settings = read_yaml(path)
    parts: dict[str, dict[str, Any]] = {
        name: settings[name] for name in _MODULES if isinstance(settings.get(name), dict)
    }
    lacking = [name for name in _MODULES if name not in parts]
    if lacking:
        raise UserError(
            f"{path}: it is a recipe without {', '.join(lacking)}; serjax reads SpeechBrain's emotion recognition by "
            f"wav2vec 2.0, which has {', '.join(_MODULES)}."
        )
    lobe, pooling = parts["wav2vec2"], parts["avg_pool"]
    if pooling.get("return_std", True) is not False or pooling.get("return_mean", True) is not True:
        raise UserError(f"{path}: avg_pool is not the mean alone (return_std: False), which serjax reads; give such.")
    output_norm = lobe.get("output_norm", False)
    if not isinstance(output_norm, bool):
        raise UserError(f"{path}: output_norm of wav2vec2 is {brief(output_norm)}; it must be True or False.")
    missing = [name for name in (*_WEIGHTS, _LABELS) if not (directory / name).is_file()]
    if missing:
        raise UserError(
            f"{directory}: {', '.join(missing)} is missing; a release of SpeechBrain is {RECIPE}, {_LABELS}, "
            f"{' and '.join(_WEIGHTS)}."
        )
    name = _referred(settings, lobe.get("source"))
    encoder, normalize = named_encoder(name, directory, f"{path}: source of wav2vec2")
    tensors = read_torch_file(directory / _WEIGHTS[0])
    # There the Linear is the first of a list.
    for key, tensor in read_torch_file(directory / _WEIGHTS[1]).items():
        tensors[re.sub(r"^0\.w\.", "output_mlp.w.", key)] = tensor
    config = {"output_norm": output_norm, "labels": _labels(directory / _LABELS)}
    return Checkpoint(source, config, encoder, Preprocessor(normalize), tensors, ())


def answer(checkpoint: Checkpoint, layer_sum: LayerSum | None) -> Models:
    """Return the models of a release.

    Raises:
        UserError: its weights do not fit, or a sum of layers is asked for.
    """
    refuse_layer_sum(checkpoint, layer_sum)
    labels, encoder = checkpoint.config["labels"], checkpoint.encoder
    layout = SpeechBrainLayout(
        len(labels),
        bias="output_mlp.w.bias" in checkpoint.tensors,
        normalize=checkpoint.preprocessor.normalize,
        output_norm=checkpoint.config["output_norm"],
    )
    model = abstract(lambda rngs: SpeechBrainClassifier(encoder, layout, rngs=rngs))
    return single_model(checkpoint, model, labels, "softmax")


def _referred(settings: dict[str, Any], value: object) -> object:
    """Return what `!ref <name>` stands for."""
    found = re.fullmatch(r"<(\w+)>", value) if isinstance(value, str) else None
    return value if found is None else settings.get(found[1])


def _labels(path: Path) -> tuple[str, ...]:
    """Return the names of the outputs in their order, from lines such as `'neu' => 0` above a line of =.

    Raises:
        UserError: a line is of another form, or the numbers are not 0, 1, 2 and so on.
    """
    found: dict[int, str] = {}
    for number, line in enumerate(read_bytes(path, largest=1 << 20).decode(errors="replace").splitlines(), 1):
        if line and not line.strip("="):
            break
        name, _, place = line.strip().rpartition(" => ")
        try:
            label = ast.literal_eval(name)
            found[int(place)] = str(label)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise UserError(
                f"{path}, line {number}: it is {brief(line)!r}; it must be such as 'neu' => 0; fetch it again."
            ) from None
    names = tuple(found[place] for place in sorted(found))
    if sorted(found) != list(range(len(found))) or len(set(names)) != len(names) or not names:
        raise UserError(f"{path}: its classes are not numbered 0, 1, 2 and so on, each once; fetch it again.")
    return names
