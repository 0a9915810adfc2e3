"""The models of a finished run: a Hugging Face directory a fold, read back as one stack."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from serjax.audio.augment import AugmentConfig
from serjax.checkpoints.bundle import Models
from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.formats.tensors import read_json, read_tensors, write_tensors
from serjax.checkpoints.huggingface import read_checkpoint, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor, read_preprocessor
from serjax.config.experiment import Experiment, from_json
from serjax.data.batching.lengths import FRAME
from serjax.models.encoders import config as encoder_config
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.functional import abstract
from serjax.models.fusion.model import audio_visual
from serjax.models.spectrogram import SoundClassifier
from serjax.models.speech import Classifier, Head, is_frozen
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from serjax.runs.starts import Trunk

PREPROCESSOR = "preprocessor_config.json"
TRUNK = "trunk"
HEAD = "head."


def save_fold(run_dir: Path, fold: int, model: Classifier, labels: Sequence[str], preprocessor: Preprocessor) -> None:
    """Write one fold's model, complete, as a directory whose encoder transformers loads too."""
    save_pretrained(
        model.trunk,
        run_dir / f"fold_{fold}",
        preprocessor=preprocessor,
        prefix=FAMILIES[model.trunk.config.model_type].prefix,
        extra_tensors=to_tensors(model.head, HEAD),
        extra_config={"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}},
    )


def save_head(run_dir: Path, fold: int, head: Head) -> None:
    """Write one fold's head, for folds that share a frozen trunk."""
    write_tensors(run_dir / f"fold_{fold}" / "model.safetensors", to_tensors(head, HEAD))


def save_network(
    run_dir: Path,
    fold: int,
    model: nnx.Module,
    labels: Sequence[str],
    trunk: "Trunk | None" = None,
    units: int | None = None,
) -> None:
    """Write one fold's network and its statistics; the run's experiment.json says what it looks at.

    Args:
        run_dir: the run folder.
        fold: number of the fold.
        model: the network.
        labels: of its outputs.
        trunk: the encoder in a fusion, whose layout is kept.
        units: width of the vectors that stand in for pictures in a fusion.
    """
    folder = run_dir / f"fold_{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"id2label": dict(enumerate(labels))}
    if units is not None:
        config["units"] = units
    if trunk is not None:
        config["encoder"] = trunk.config.to_dict()
        write_text(folder / PREPROCESSOR, json.dumps(trunk.preprocessor.to_dict()) + "\n")
    write_tensors(folder / "model.safetensors", to_tensors(model))
    write_text(folder / "config.json", json.dumps(config) + "\n")


def save_trunk(run_dir: Path, trunk: SpeechEncoder, preprocessor: Preprocessor) -> None:
    """Write the frozen trunk that all folds share."""
    save_pretrained(trunk, run_dir / TRUNK, preprocessor=preprocessor)


def save_labels(run_dir: Path, labels: Sequence[str], folds: Sequence[int]) -> None:
    """Write which classes the models tell apart and which folds there are; done last, it says the models are there."""
    write_text(run_dir / "model.json", json.dumps({"labels": list(labels), "folds": list(folds)}, indent=2) + "\n")


def load_run(run_dir: str | Path) -> Models:
    """Read a run's models.

    Raises:
        UserError: the folder is no run folder, the run is not finished, or its files do not fit each other.
    """
    folder = Path(run_dir)
    if not (folder / "experiment.json").is_file():
        raise UserError(
            f"{folder}: it holds no experiment.json (a run's) and no config.json (a checkpoint's); give such a folder."
        )
    if not (folder / "model.json").is_file():
        raise UserError(f"{folder}: the run is not finished; run its command again to go on where it stopped.")
    experiment = from_json((folder / "experiment.json").read_text(), str(folder / "experiment.json"))
    found = read_json(folder / "model.json")
    labels, folds = tuple(found.get("labels", ())), tuple(found.get("folds", ()))
    if not labels or not folds:
        raise UserError(f"{folder / 'model.json'}: it names no labels or no folds; train the run again.")
    for name in (f"fold_{fold}" for fold in folds):
        if not (folder / name).is_dir():
            raise UserError(f"{folder / name}: this fold of the run is missing; copy it here too, or train again.")
    read = _read_encoders if experiment.model.is_encoder else _read_networks
    graphdef, states, rest, shortest = read(folder, experiment, labels, folds)
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    data, dtype = experiment.data, experiment.model.dtype
    return Models(
        labels=labels,
        folds=folds,
        graphdef=graphdef,
        params=params,
        shared=rest,
        seconds=data.seconds,
        crop=data.eval_crop,
        shortest=shortest,
        dtype=dtype,
        outputs="softmax",
        activity=data.activity,
        video=experiment.video if experiment.model.sees else None,
        seen=_seen(folder, experiment, folds[0]),
        needs=experiment.needs,
        hears=experiment.model.hears,
    )


def _read_networks(
    folder: Path, experiment: Experiment, labels: Sequence[str], folds: Sequence[int]
) -> tuple[nnx.GraphDef[Any], list[Any], Any, int]:
    """Return how a network is put together, what each fold has of its own, nothing shared, and the shortest clip."""
    plain = replace(experiment, augment=AugmentConfig())
    states, shortest = [], FRAME
    layout: dict[str, Any] = {}
    for fold in folds:
        source = folder / f"fold_{fold}"
        _check_labels(source, labels)
        told = read_json(source / "config.json")
        encoder = told.get("encoder")
        if "units" in told:
            layout = {"units": told["units"]}
        if encoder is not None:
            config, prepared = encoder_config.from_dict(encoder, f"{source}/config.json"), read_preprocessor(source)[0]
            layout |= {"encoder": config, "normalize": prepared.normalize, "masked": prepared.return_attention_mask}
            shortest = encoder_config.receptive_field(config)

        def make(rngs: nnx.Rngs, layout: dict[str, Any] = layout) -> nnx.Module:
            if experiment.model.sees:
                return audio_visual(plain, len(labels), **layout, rngs=rngs)
            return SoundClassifier(plain, len(labels), {}, rngs=rngs)

        model = abstract(make)
        nnx.update(model, load_tensors(model, read_tensors(source), source=str(source)))
        graphdef, state = nnx.split(model)
        states.append(state)
    return graphdef, states, {}, shortest


def _seen(folder: Path, experiment: Experiment, fold: int) -> tuple[int, ...]:
    """Return the shape of what the models see of a clip."""
    video = experiment.video
    if not experiment.model.sees:
        return ()
    units = read_json(folder / f"fold_{fold}" / "config.json").get("units")
    return (video.frames, video.size, video.size, 3) if units is None else (1, units)


def _read_encoders(
    folder: Path, experiment: Experiment, labels: Sequence[str], folds: Sequence[int]
) -> tuple[nnx.GraphDef[Any], list[Any], Any, int]:
    """Return how a classifier is put together, each fold's trained parameters, the frozen ones, the shortest clip."""
    shared = folder / TRUNK if (folder / TRUNK).is_dir() else None
    common = read_checkpoint(str(shared or folder / f"fold_{folds[0]}"))
    config = encoder_config.from_dict(common.config, f"{common.source}/config.json")
    prefix = FAMILIES[config.model_type].prefix

    def make(rngs: nnx.Rngs) -> Classifier:
        prepared, classes = common.preprocessor, len(labels)
        masked = prepared.return_attention_mask
        return Classifier(experiment.model, config, classes, normalize=prepared.normalize, masked=masked, rngs=rngs)

    states = []
    for fold in folds:
        model = abstract(make)
        source = folder / f"fold_{fold}"
        tensors = dict(read_tensors(source))
        if shared is None:
            _check_labels(source, labels)
        else:
            tensors |= {prefix + key: value for key, value in common.tensors.items()}
        missing = [re.escape(f"{prefix}masked_spec_embed")]
        nnx.update(model, load_tensors(model, tensors, source=str(source), trunk=prefix, allow_missing=missing))
        embed = model.trunk.masked_spec_embed
        if isinstance(embed[...], jax.ShapeDtypeStruct):
            embed.set_value(jnp.zeros(config.hidden_size))
        graphdef, trained, *rest = nnx.split(model, lambda path, _: not is_frozen(path, experiment.model, config), ...)
        states.append(trained)
    return graphdef, states, rest[0], encoder_config.receptive_field(config)


def _check_labels(fold: Path, labels: Sequence[str]) -> None:
    """Refuse a fold's folder that another run, with other labels, has written."""
    named = read_json(fold / "config.json").get("id2label", {})
    found = [named.get(str(i)) for i in range(len(named))]
    if found != list(labels):
        raise UserError(
            f"{fold}/config.json: its labels are {found}, but the run's are {list(labels)}; they must agree."
        )
