"""Models of a finished run: a directory a fold, read back as one stack.

A run folder's model.json holds the settings of the model and of its input, so that nothing else is needed to answer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from flax import nnx

from serjax.audio.highpass import Cutoff
from serjax.audio.vad import Activity
from serjax.checkpoints.bundle import Models
from serjax.checkpoints.calibration import read_calibration
from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.sequence_classification import (
    from_transformers,
    label_names,
    preprocessor_of,
    save_classifier,
)
from serjax.evaluation.tasks import Task
from serjax.models.classifiers.speech import build_head
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import OWN
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract
from serjax.models.speech import Speech
from serjax.runtime.constraints import ClipSeconds, FoldNumber, Name, read_as, to_json
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import contents_of, read_json

FORMAT = 2
"""Version of model.json; raised where older files can no longer be read."""
OLD_ENCODER = "trunk"
"""Folder of the frozen encoder in runs of before each fold was whole."""
HEARD = "serjax_encoder"
"""Key of a fold's config.json: trained, where the encoder has learned from the run's labels, or frozen."""
_PREFIX = "speech_encoder."
_HEAD = "head."


@dataclass(frozen=True)
class RunModels:
    """Contents of model.json.

    Attributes:
        labels: names of the outputs, in their order; of several tasks `task/output`.
        folds: numbers of the folds, each with a directory fold_N.
        model: resolved settings of the model.
        max_seconds: the longest stretch of a clip that the models use, in s.
        eval_crop: part of a longer clip.
        vad: how silence is left out of a clip first.
        seeds: number of seeds that every fold was trained with; the directories of those after the first are in folders
            called seed_N, from 1.
        format: version of this file.
        highpass: cutoff in Hz of the high-pass filter that comes before that; None: there is none.
        tasks: that the outputs answer, where that is not one class.
    """

    labels: tuple[Name, ...]
    folds: tuple[FoldNumber, ...]
    model: ModelConfig
    max_seconds: ClipSeconds
    eval_crop: Literal["head", "centre"]
    vad: Activity
    seeds: Annotated[int, Ge(1), Le(1_000)] = 1
    format: int = FORMAT
    highpass: Cutoff | None = None
    tasks: tuple[Task, ...] = ()

    def members(self, run_dir: Path) -> list[Path]:
        """Return the directories of all models: the folds of the first seed, then those of the others."""
        return [fold_folder(run_dir, fold, seed) for fold, seed in self.trained]

    @property
    def trained(self) -> list[tuple[int, int]]:
        """Fold and seed of each model, in the order of `members`."""
        return [(fold, seed) for seed in range(self.seeds) for fold in self.folds]


@dataclass(frozen=True)
class _Names:
    """The part of the config.json of a fold that is read."""

    id2label: dict[str, str] = field(default_factory=dict)


_AGAIN = "copy the run folder again, or train the run again"


def fold_folder(run_dir: Path, fold: int, seed: int = 0) -> Path:
    """Return the directory of a fold's model; seeds count from 0."""
    return (run_dir / f"seed_{seed}" if seed else run_dir) / f"fold_{fold}"


def save_models(run_dir: Path, models: RunModels, *seeds: Mapping[int, Any]) -> None:
    """Write each fold's model, and model.json, which comes last and says that the models are there.

    A speech encoder with its head is a Hugging Face directory: of the family's ForSequenceClassification in
    transformers, where that has such a head, else of a model_type that its auto classes refuse. A frozen encoder lies
    on the disk once; where it has adapters, these are written beside each head.

    Args:
        run_dir: the run folder.
        models: settings and labels.
        seeds: seed by seed the models by number of the fold.

    Raises:
        UserError: the files cannot be written.
    """
    config = models.model
    names = label_names(models.labels)
    places = [(fold_folder(run_dir, fold, seed), one) for seed, own in enumerate(seeds) for fold, one in own.items()]
    first = None
    if isinstance(config, Speech) and (config.frozen_encoder or config.adapter.given):
        first = places[0][0] if _equal([_frozen(config, one) for _, one in places]) else None
    for folder, member in places:
        if not isinstance(config, Speech):
            _save_network(folder, config, member, names)
            continue
        head = to_tensors(member.head, _HEAD)
        heard = {HEARD: "frozen" if config.frozen_encoder else "trained"}
        save_classifier(
            folder, config, member.speech_encoder, head, names | heard, in_form=not models.tasks, shared=first
        )
    write_model_json(run_dir, models)


def _frozen(config: Speech, member: nnx.Module) -> nnx.State:
    return nnx.state(member, lambda path, leaf: isinstance(leaf, nnx.Param) and not config.trainable(path))


def write_model_json(run_dir: Path, models: RunModels) -> None:
    """Write model.json, which says that the models of its folds are there.

    Raises:
        UserError: it cannot be written.
    """
    write_text(run_dir / "model.json", to_json(models) + "\n")


def _save_network(folder: Path, config: Any, member: nnx.Module, names: dict[str, Any]) -> None:
    """Write one fold's network with its statistics; a fusion's encoder is described as a checkpoint's is."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {"architectures": [type(member).__name__], "model_type": OWN + config.family, **names}
    speech = config.encoder_settings
    if speech is not None:
        entries["encoder"] = speech.encoder.config.to_dict()
        prepared = preprocessor_of(speech).to_dict(speech.encoder.config)
        write_text(folder / "preprocessor_config.json", json.dumps(prepared) + "\n")
    write_tensors(folder / "model.safetensors", to_tensors(member))
    write_text(folder / "config.json", json.dumps(entries) + "\n")


def read_run(run_dir: str | Path) -> RunModels:
    """Read a finished run's model.json.

    Raises:
        UserError: the folder is no run folder, the run is not finished, or another version of serjax wrote it.
    """
    folder = Path(run_dir)
    path = folder / "model.json"
    if not (folder / "experiment.json").is_file():
        raise UserError(
            f"{folder}: it holds no experiment.json (a run's) and no config.json (a checkpoint's); give such a folder."
        )
    if not path.is_file():
        raise UserError(f"{folder}: the run is not finished; run its command again to go on where it stopped.")
    found = read_json(path, remedy=_AGAIN)
    if not found.get("labels") or not found.get("folds"):
        raise UserError(f"{path}: it names no labels or no folds; train the run again.")
    version = found.get("format", 1)
    if version != FORMAT:
        raise UserError(
            f"{path}: it has format {brief(repr(version))}, but this version of serjax reads format "
            f"{FORMAT}; train the run "
            f"again, or use {'serjax 0.1.0' if version == 1 else 'a newer serjax'}."
        )
    run = read_as(RunModels, path, _AGAIN, others="forbid")
    for name, values in (("labels", run.labels), ("folds", run.folds)):
        if len(set(values)) < len(values):
            raise UserError(f"{path}: {name} has an entry twice; {_AGAIN}.")
    return run


def load_run(run_dir: str | Path) -> Models:
    """Read a run's models.

    Raises:
        UserError: the folder is no run folder, the run is not finished, or its files do not fit each other.
    """
    folder = Path(run_dir)
    run = read_run(folder)
    members = run.members(folder)
    for own in members:
        if not own.is_dir():
            raise UserError(f"{own}: this fold of the run is missing; copy it here too, or train again.")
    model = run.model
    trained: list[Any] = []
    rest: list[Any] = []
    graphdef = None
    for source in members:
        # Settings that fit their types may still make no model.
        with contents_of(folder / "model.json", _AGAIN):
            member = load_fold(source, folder / OLD_ENCODER, run)
        graphdef, state, *frozen = nnx.split(member, lambda path, _: model.trainable(path), ...)
        trained.append(state)
        # One that folds have in common is held once.
        rest.append(rest[0] if rest and _equal([rest[0], *frozen]) else frozen[0])
    assert graphdef is not None
    if not _equal(rest):
        # Each fold may have started from an encoder of its own, frozen parts included.
        trained, rest = [nnx.merge_state(a, b) for a, b in zip(trained, rest, strict=True)], [nnx.State({})]
    return Models(
        labels=run.labels,
        folds=run.folds * run.seeds,
        graphdef=graphdef,
        params=jax.tree.map(lambda *leaves: jnp.stack(leaves), *trained),
        shared=rest[0],
        max_seconds=run.max_seconds,
        crop=run.eval_crop,
        min_samples=model.min_samples,
        dtype=model.dtype,
        outputs="sigmoid" if [task.kind for task in run.tasks] == ["multilabel"] else "softmax",
        vad=run.vad,
        highpass=run.highpass,
        modalities=model.modalities,
        required=model.required,
        video=model.video,
        calibration=read_calibration(folder, run.trained),
        # One task whose outputs are scores as they are needs no choice.
        tasks=run.tasks if len(run.tasks) > 1 or any(task.ranges for task in run.tasks) else (),
    )


def load_heads(run_dir: str | Path) -> tuple[tuple[str, ...], Any]:
    """Read the heads of a run whose encoder is frozen and the same for all folds; the encoder is not read.

    Returns:
        The labels, and the heads' parameters [k ...], in the order of `RunModels.trained`.

    Raises:
        UserError: the folder is no run folder, the run is not finished, or its files do not fit each other.
    """
    folder = Path(run_dir)
    run = read_run(folder)
    model = run.model
    assert isinstance(model, Speech)
    assert model.frozen_encoder
    head = abstract(lambda rngs: build_head(model, len(run.labels), rngs=rngs))
    found = []
    for source in run.members(folder):
        _check_labels(source, run.labels)
        tensors = from_transformers(model, dict(read_tensors(source)))
        own = {key.removeprefix(_HEAD): value for key, value in tensors.items() if key.startswith(_HEAD)}
        found.append(load_tensors(head, own, source=str(source)))
    return run.labels, jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


def load_fold(source: Path, beside: Path, run: RunModels) -> nnx.Module:
    """Return one fold's model with its weights; those of its encoder may be in the directory `beside`."""
    model = run.model
    member = abstract(lambda rngs: model.build(len(run.labels), rngs=rngs))
    tensors = dict(read_tensors(source))
    speech, prefix = model.encoder_settings, _PREFIX
    if isinstance(model, Speech):
        prefix = FAMILIES[model.encoder.config.model_type].prefix
        tensors = tensors if run.tasks else from_transformers(model, tensors)
    if beside.is_dir():
        tensors |= {prefix + key: value for key, value in read_tensors(beside).items()}
    else:
        _check_labels(source, run.labels)
    missing = [rf"(.*\.)?{re.escape(prefix)}masked_spec_embed"] if speech is not None else []
    state = load_tensors(member, tensors, source=str(source), encoder=prefix, allow_missing=missing)
    nnx.update(member, state)
    found = {path for path, _ in nnx.to_flat_state(state)}
    for path, leaf in nnx.to_flat_state(nnx.state(member, nnx.Param)):
        # A checkpoint whose frames are never masked has no embedding for them.
        if path[-1] == "masked_spec_embed" and path not in found:
            nnx.update(member, nnx.from_flat_state([(path, leaf.replace(jnp.zeros(leaf.shape, leaf.dtype)))]))
    return member


def _equal(states: Sequence[Any]) -> bool:
    first, *others = map(jax.tree.leaves, states)
    return all(a is b or np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def _check_labels(fold: Path, labels: Sequence[str]) -> None:
    """Refuse a fold's folder that another run, with other labels, has written."""
    named = read_as(_Names, fold / "config.json", "copy the run folder again").id2label
    found = [named.get(str(i)) for i in range(len(named))]
    if found != list(labels):
        told, ours = brief(repr(found)), brief(repr(list(labels)))
        raise UserError(f"{fold}/config.json: its labels are {told}, but the run's are {ours}; they must agree.")
