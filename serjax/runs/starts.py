"""The weights that finished runs have left for a model's parts, fold by fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.checkpoints.adapter_weights import as_leaves
from serjax.checkpoints.hub import is_checkpoint
from serjax.checkpoints.huggingface import Pretrained, load_encoder
from serjax.checkpoints.peft import read_peft
from serjax.checkpoints.preprocessor import Preprocessor, default_preprocessor
from serjax.checkpoints.run_models import HEARD, OLD_ENCODER, load_run, read_run
from serjax.config.experiment import WarmStart
from serjax.data.dataset import Data
from serjax.data.folds.fold import read_parts
from serjax.data.folds.leakage import check_unseen
from serjax.models.adapter_config import AdapterConfig
from serjax.models.base import EncoderLayout
from serjax.models.config import ModelConfig
from serjax.models.encoders.base import Size
from serjax.models.encoders.config import EncoderConfig, preset
from serjax.models.encoders.families import EncoderFamily
from serjax.models.encoders.stack import BaseEncoder
from serjax.models.functional import Params
from serjax.models.fusion.config import Fusion
from serjax.models.speech import Speech
from serjax.runtime.constraints import FileName, FoldNumber, read_as
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json
from serjax.training.trials import Trial

PRETRAINED = "pretrained.json"
"""Record of a pretraining's encoders; the last file that it writes."""


ENCODER = "encoder"
"""Folder of a pretraining's encoder, in the run folder or in those of its folds."""


_HEARD_ALL = "was pretrained on all clips, tested ones too, without their labels."
"""End of the sentence that goes from a pretraining to all that rests on it."""

_HEARD_SOME = "was pretrained on clips, without their labels, which may be tested here."
_HEARD_LABELS = "was trained on clips with their labels, which may be tested here: such scores are too high."
"""End of the sentence that goes from one fold's encoder to all that rests on it."""


@dataclass(frozen=True)
class _Pretrained:
    """Contents of pretrained.json: the folder of the run's step that counts; or clips and folds."""

    step: FileName | None = None
    corpus: Literal["train", "all", "unlabelled"] = "train"
    folds: tuple[FoldNumber, ...] = ()


@dataclass(frozen=True)
class _Facts:
    leakage_notes: tuple[str, ...]


@dataclass(frozen=True)
class _Report:
    """The part of a report.json that is read."""

    facts: _Facts


class Encoders(NamedTuple):
    """Encoders of one layout.

    Attributes:
        source: what they were asked for by.
        folders: directories or hub ids by number of the fold; under 0 one that serves all.
        parts: part of each clip in each fold, by id; empty where one serves all.
        warning: what a report of scores has to say of them.
    """

    source: str
    folders: Mapping[int, str]
    parts: Mapping[str, Mapping[int, str]]
    warning: str | None = None

    @property
    def shared(self) -> bool:
        """True where one encoder serves all folds."""
        return 0 in self.folders

    def check(self, fold: int, tested: Sequence[str]) -> None:
        """See that a fold's encoder has not learned from clips that the fold tests, nor was chosen by them.

        Args:
            fold: number of the fold.
            tested: names of its clips.

        Raises:
            UserError: there is no encoder of this fold, it does not know a clip, or it has learned from one.
        """
        if not self.shared:
            check_unseen(self.source, self.parts, tuple(self.folders), fold, tested)

    def of(self, fold: int) -> Pretrained:
        """Load the encoder that serves a fold.

        Raises:
            UserError: it cannot be used.
        """
        return load_encoder(self.folders[0 if self.shared else fold])


def find_encoders(source: str) -> Encoders:
    """Find what `source` names.

    Args:
        source: a Hugging Face directory or hub id, or the folder of a finished run of serjax.pretrain or serjax.train.

    Raises:
        UserError: the run is not finished, or has no encoders.
    """
    folder = Path(source).expanduser()
    if is_checkpoint(folder) or not (folder / "experiment.json").is_file():
        return Encoders(source, {0: source}, {}, _heard_above(source, folder))
    if (folder / PRETRAINED).is_file():
        made = read_as(_Pretrained, folder / PRETRAINED, "give a run that is complete")
        if made.step is not None:
            return find_encoders(str(folder / made.step))._replace(source=source)
        heard = f"The encoder of {source} {_HEARD_ALL}" if made.corpus == "all" else None
        if made.folds:
            folders = {fold: str(folder / f"fold_{fold}" / ENCODER) for fold in made.folds}
            return Encoders(source, folders, read_parts(folder / "folds.json"), heard)
        return Encoders(source, {0: str(folder / ENCODER)}, {}, heard)
    if not (folder / "report.json").is_file():
        raise UserError(f"{folder}: the run is not finished; run its command again to go on where it stopped.")
    notes = read_as(_Report, folder / "report.json", "give a run that is complete").facts.leakage_notes
    heard = next((note for note in notes if note.endswith((_HEARD_ALL, _HEARD_LABELS))), None)
    if (folder / OLD_ENCODER).is_dir():
        return Encoders(source, {0: str(folder / OLD_ENCODER)}, {}, heard)
    run = read_run(folder)
    folders = {fold: str(folder / f"fold_{fold}") for fold in run.folds}
    if isinstance(run.model, Speech) and run.model.frozen_encoder:
        return Encoders(source, {0: folders[run.folds[0]]}, {}, heard)
    return Encoders(source, folders, read_parts(folder / "folds.json"), heard)


def _heard_above(source: str, folder: Path) -> str | None:
    """Return what a report has to say of an encoder that has learned from a run's clips.

    Its folder lies in the run's, itself or where a link leads, or is a copy of a fold's.
    """
    if not is_checkpoint(folder):
        return None
    parents = [*folder.absolute().parents, *folder.resolve().parents]
    run = next((one for one in parents if (one / "experiment.json").is_file()), None)
    if run is None:
        path = folder / "config.json"
        trained = path.is_file() and read_json(path).get(HEARD) == "trained"
        return f"The encoder of {source} {_HEARD_LABELS}" if trained else None
    if (run / PRETRAINED).is_file():
        one_for_all = read_json(run / PRETRAINED).get("corpus") == "all"
        return f"The encoder of {source} {_HEARD_ALL if one_for_all else _HEARD_SOME}"
    if (run / "model.json").is_file():
        model = read_run(run).model
        if isinstance(model, Speech) and model.frozen_encoder:
            return find_encoders(str(run)).warning
    return f"The encoder of {source} {_HEARD_LABELS}"


class EncoderStart(NamedTuple):
    """Encoder that an experiment starts from.

    Attributes:
        config: its layout.
        preprocessor: how its input is prepared.
        pretrained: its weights; None where they are random, or every fold has its own.
        notes: what to say of it.
        encoders: where it comes from; None: from nowhere.
    """

    config: EncoderConfig
    preprocessor: Preprocessor
    pretrained: BaseEncoder | None
    notes: tuple[str, ...]
    encoders: Encoders | None = None

    @property
    def layout(self) -> EncoderLayout:
        """Layout for the model's settings."""
        return EncoderLayout(self.config, self.preprocessor.normalize, self.preprocessor.return_attention_mask)


def find_encoder(family: EncoderFamily, size: Size | None, checkpoint: str | None) -> EncoderStart:
    """Return the encoder that a size describes or a checkpoint names.

    Args:
        family: architecture to build; a checkpoint's own counts.
        size: of random weights; wins over `checkpoint`.
        checkpoint: a Hugging Face directory or hub id, or a finished run.

    Raises:
        UserError: neither is given, or the checkpoint cannot be used.
    """
    if size is not None:
        note = f"{family} of size {size} starts from random weights."
        config = preset(family, size)
        return EncoderStart(config, default_preprocessor(config), None, (note,))
    if checkpoint is None:
        raise UserError("--model.checkpoint and --model.size are both missing; give a checkpoint or a size.")
    encoders = find_encoders(checkpoint)
    encoder, preprocessor, notes = encoders.of(min(encoders.folders))
    found = encoder.config.model_type
    other = "" if found == family else f"; its own family counts, not model.family {family}"
    whose = "" if encoders.shared else ", each fold from its own encoder"
    note = f"{found} starts from {checkpoint}{whose}{other}."
    return EncoderStart(encoder.config, preprocessor, encoder if encoders.shared else None, (note, *notes), encoders)


class AdapterStart(NamedTuple):
    """Adapter that an experiment starts from: its settings, parameters by name, and what to say of it."""

    settings: AdapterConfig | None = None
    given: Mapping[str, Any] = MappingProxyType({})
    notes: tuple[str, ...] = ()


def find_adapter(model: ModelConfig, encoder: EncoderConfig | None) -> AdapterStart:
    """Return the adapter that a model's settings name for an encoder of this layout; nothing where they name none.

    Raises:
        UserError: it cannot be used with the encoder.
    """
    speech = model.encoder_settings
    if speech is None or speech.adapter.checkpoint is None or encoder is None:
        return AdapterStart()
    wanted, branch = speech.adapter, "" if isinstance(model, Speech) else "audio."
    found = read_peft(str(wanted.checkpoint), encoder, speech.checkpoint if speech.size is None else None)
    settings = replace(found.settings, dropout=wanted.dropout or found.settings.dropout, encode_once=wanted.encode_once)
    given = {f"{branch}speech_encoder.{name}": jnp.asarray(leaf) for name, leaf in as_leaves(found.tensors).items()}
    return AdapterStart(settings, given, (f"adapters ({settings.kind}) start from {wanted.checkpoint}.", *found.notes))


class Start(NamedTuple):
    """Weights of a finished run that the folds of another start from.

    Attributes:
        name: the option that named the run, and its folder.
        branch: part of the model that it starts: audio, video or speech_encoder.
        labels: of its outputs; none for an encoder.
        folds: numbers of its folds.
        parts: part of each clip in each of its folds, by id.
        leaves: parameters and statistics [folds ...] by their paths in the model to come.
    """

    name: str
    branch: str
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    parts: Mapping[str, Mapping[int, str]]
    leaves: dict[Any, Any]


def read_starts(warm_start: WarmStart, model: Fusion) -> tuple[Start, ...]:
    """Read the runs that the branches of a fusion start from.

    Args:
        warm_start: the runs.
        model: settings of the fusion.

    Raises:
        UserError: a run cannot be read, or is not of the network that the fusion has.
    """
    starts = []
    for branch, folder, wanted, prefix in (
        ("audio", warm_start.audio, model.audio.family, ("audio",)),
        ("video", warm_start.video, "video", ()),
    ):
        if folder is None:
            continue
        option = f"--warm-start.{branch}"
        models, family = load_run(folder), read_run(folder).model.family
        if family != wanted:
            raise UserError(
                f"{option} {folder}: it is a run of {family}, but this fusion has {wanted}; give such a run."
            )
        count = len(models.folds)
        leaves = {(*prefix, *path): leaf for path, leaf in nnx.to_flat_state(models.params)}
        for shared, leaf in nnx.to_flat_state(models.shared) if models.shared else ():
            leaves[*prefix, *shared] = leaf.replace(jnp.broadcast_to(leaf[...], (count, *leaf[...].shape)))
        parts = read_parts(Path(folder) / "folds.json")
        starts.append(Start(f"{option} {folder}", branch, models.labels, models.folds, parts, leaves))
    return tuple(starts)


def encoder_start(encoders: Encoders, folds: Sequence[int] | None = None) -> Start:
    """Return the encoders of a run's folds (all, or those named) as what the same folds start from.

    Raises:
        UserError: one cannot be used.
    """
    folds = tuple(encoders.folders if folds is None else folds)
    states = [dict(nnx.to_flat_state(nnx.state(encoders.of(fold).encoder))) for fold in folds]
    leaves = {
        ("speech_encoder", *path): leaf.replace(jnp.stack([state[path][...] for state in states]))
        for path, leaf in states[0].items()
    }
    return Start(f"--model.checkpoint {encoders.source}", "speech_encoder", (), folds, encoders.parts, leaves)


def stacked(starts: Sequence[Start], data: Data, trials: Sequence[Trial], model: nnx.Module) -> Params | None:
    """Return what each trial starts from, [k ...]; None without runs.

    Args:
        starts: the runs.
        data: what is trained on.
        trials: what is trained.
        model: one trial's model (abstract will do), whose branches are to be started.

    Raises:
        UserError: a run has other labels, lacks a fold, is of another layout, or has seen a clip that the same fold
            tests here.
    """
    shapes = {path: leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(model, (nnx.Param, nnx.BatchStat)))}
    leaves: dict[Any, Any] = {}
    for start in starts:
        if start.labels and start.labels != data.labels:
            raise UserError(
                f"{start.name}: its labels are {', '.join(start.labels)}, here they are {', '.join(data.labels)}; give "
                "a run with the same."
            )
        for trial in trials:
            tested = [data.store.utterances[clip].id for clip in trial.test]
            check_unseen(start.name, start.parts, start.folds, trial.fold, tested)
        for path, shape in shapes.items():
            if path[0] == start.branch and (path not in start.leaves or start.leaves[path].shape[1:] != shape):
                raise UserError(f"{start.name}: its {'.'.join(map(str, path))} does not fit; give a run of this size.")
        rows = np.array([start.folds.index(trial.fold) for trial in trials])
        leaves |= {path: leaf.replace(leaf[...][rows]) for path, leaf in start.leaves.items()}
    return nnx.from_flat_state(list(leaves.items())) if leaves else None
