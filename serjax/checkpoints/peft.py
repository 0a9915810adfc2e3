"""PEFT's adapters of an encoder, in and out: adapter_config.json and adapter_model.safetensors, LoRA and (IA)3.

PEFT calls the layers as its base model does, behind `base_model.model.`; the base model may be the encoder, or a class
of a task around it. The weights are the truth about which layers are adapted, the configuration about their scales.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt
from flax import nnx

from serjax.checkpoints.adapter_weights import layer_name
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.formats.tensors import read_file, write_tensors
from serjax.checkpoints.hub import is_hub_id, resolve
from serjax.models.adapter_config import PARTS, AdapterConfig, layer_of
from serjax.models.adapters import adapted_layers, target_names
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract
from serjax.runtime.constraints import Finite, Rate, read_as
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, brief, one_of
from serjax.runtime.json_files import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_BEFORE = "base_model.model."
_KINDS = {"LORA": "lora", "IA3": "ia3"}
_HEEDED = frozenset({"peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "use_rslora"}) | {
    *("rank_pattern", "alpha_pattern", "init_lora_weights", "bias")
}
_NO_MATTER = frozenset(
    {"auto_mapping", "revision", "task_type", "inference_mode", "peft_version", "modules_to_save"}
) | {
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "feedforward_modules"),
    *("init_ia3_weights", "megatron_core", "qalora_group_size", "eva_config", "runtime_config", "ensure_weight_tying"),
}
"""Keys that do not change what the weights compute, or that the names of the weights tell."""
_KEEPS_BASE = (True, False, "gaussian", "orthogonal", "eva")
"""First values of LoRA's matrices that leave the base model's weights as they are."""


@dataclass(frozen=True)
class _Lora:
    """The keys of adapter_config.json that are heeded, with PEFT's defaults."""

    r: Annotated[int, Ge(1)] = 8
    lora_alpha: Annotated[Finite, Gt(0)] = 8.0
    lora_dropout: Rate = 0.0
    use_rslora: bool = False
    rank_pattern: dict[str, Annotated[int, Ge(1)]] = field(default_factory=dict)
    alpha_pattern: dict[str, Annotated[Finite, Gt(0)]] = field(default_factory=dict)


class PeftAdapter(NamedTuple):
    """An adapter that was read.

    Attributes:
        settings: from which the same layers are built again.
        tensors: weights by PyTorch's keys, of the encoder alone.
        base: model that it says it was trained on; None: it does not say.
        notes: sentences for the user on what else it holds.
    """

    settings: AdapterConfig
    tensors: dict[str, np.ndarray]
    base: str | None
    notes: tuple[str, ...]


def is_peft(folder: Path) -> bool:
    """Return whether a directory holds an adapter of PEFT."""
    return (folder / CONFIG).is_file()


def read_base(folder: Path) -> str:
    """Return the base model that an adapter's directory names.

    Raises:
        UserError: it names none.
    """
    base = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"{folder / CONFIG}: it names no base_model_name_or_path; give the base model as the checkpoint, and this "
            "directory as --model.adapter.checkpoint."
        )
    return base


def read_peft(source: str, encoder: EncoderConfig, checkpoint: str | None = None) -> PeftAdapter:
    """Read an adapter for an encoder.

    Args:
        source: directory or hub id.
        encoder: layout of the encoder that it is put on.
        checkpoint: where that comes from.

    Raises:
        UserError: it is none, is damaged, is of a kind that serjax does not compute, or is of another encoder.
    """
    folder = resolve(source)
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{source}: it holds no {CONFIG}; give the directory of an adapter that PEFT wrote.")
    entries = read_json(path)
    kind = _kind(path, entries)
    lora = read_as(_Lora, path, "give an adapter whose values fit") if kind == "lora" else _Lora()
    base = entries.get("base_model_name_or_path")
    base = base if isinstance(base, str) and base else None
    if base is not None and checkpoint is not None and base != checkpoint and is_hub_id(base) and is_hub_id(checkpoint):
        raise UserError(
            f"{source}: it is an adapter of {base}, but the encoder is {checkpoint}; give that one, or its own."
        )
    noted = _family_of(entries)
    if noted is not None and noted != encoder.model_type:
        raise UserError(
            f"{path}: auto_mapping says that it is an adapter of a {noted}, but the encoder is a {encoder.model_type}; "
            "give an adapter of this encoder."
        )
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder / WEIGHTS}: this file is missing; save the adapter as safetensors.")
    family = FAMILIES[encoder.model_type]
    tensors, files, others = {}, {}, []
    for key, tensor in read_file(folder / WEIGHTS).items():
        name = key.removeprefix(_BEFORE)
        own = name.removeprefix(family.outer).removeprefix(family.prefix)
        if PARTS.isdisjoint(own.split(".")):
            others.append(name)
            continue
        tensors[own] = tensor.astype(np.float32)
        files[layer_name(own)] = layer_name(name)
    if not tensors:
        raise UserError(f"{folder / WEIGHTS}: it holds no adapter of a layer; fetch it again.")
    modules = {
        ".".join(map(str, p)): m for p, m in nnx.iter_modules(abstract(lambda r: build_encoder(encoder, rngs=r)))
    }
    _check_fit(source, encoder, modules, tensors, kind)
    settings = AdapterConfig(kind=kind)  # type: ignore[arg-type]
    if kind == "lora":
        settings = _lora_settings(path, lora, tensors, files)
    settings = _aimed(settings, modules, tensors)
    notes: tuple[str, ...] = ()
    if others:
        held = one_of(sorted({name.split(".")[0] for name in others}))
        notes = (f"{source} also holds {held}; only the encoder's adapters were loaded.",)
    return PeftAdapter(settings, tensors, base, notes)


def _kind(path: Path, entries: Mapping[str, Any]) -> str:
    """Return the kind of an adapter.

    Raises:
        UserError: it is of another kind, or has a part that would not be computed.
    """
    found = entries.get("peft_type")
    if not isinstance(found, str) or found not in _KINDS:
        raise UserError(
            f"{path}: peft_type is {brief(repr(found))}; serjax reads {' and '.join(_KINDS)}; give one of these."
        )
    for key, value in entries.items():
        kept = key in _NO_MATTER or value in (None, False) or value in ({}, [], "none")
        if key == "init_lora_weights" and not any(value is one or value == one for one in _KEEPS_BASE):
            raise UserError(
                f"{path}: init_lora_weights is {brief(repr(value))}, which has changed the base model's weights; "
                "convert the adapter with PEFT (path_initial_model_for_weight_conversion), and give that."
            )
        if not kept and (key not in _HEEDED or key == "bias"):
            raise UserError(
                f"{path}: {brief(key)} is {brief(repr(value))}, which serjax does not compute; merge the adapter with "
                "PEFT, and give the whole model."
            )
    return _KINDS[found]


def _check_fit(
    source: str, encoder: EncoderConfig, modules: Mapping[str, Any], tensors: Mapping[str, np.ndarray], kind: str
) -> None:
    """Refuse an adapter of another encoder.

    Raises:
        UserError: names the layer that is not there, or is of another width.
    """
    for key, tensor in tensors.items():
        name = layer_name(key)
        if not isinstance(modules.get(name), nnx.Linear):
            raise UserError(
                f"{source}: it adapts {brief(name)}, which is no Linear layer of this {encoder.model_type}; give an "
                "adapter of this encoder."
            )
        layer, part = modules[name], key.removeprefix(f"{name}.")
        widths = {
            "lora_A.weight": ((*tensor.shape[:1], layer.in_features),),
            "lora_B.weight": ((layer.out_features, *tensor.shape[1:]),),
            "ia3_l": ((1, layer.in_features), (layer.out_features, 1)),
        }
        if part not in widths or not part.startswith(kind):
            raise UserError(
                f"{source}: it holds {brief(key)}, which serjax does not compute; merge the adapter with PEFT."
            )
        if tensor.ndim != 2 or tensor.shape not in widths[part]:
            raise UserError(
                f"{source}: {key} is {tensor.shape}, but this {encoder.model_type} needs {widths[part][-1]}; give an "
                "adapter of an encoder of this width."
            )


def _lora_settings(
    path: Path, lora: _Lora, tensors: Mapping[str, np.ndarray], files: Mapping[str, str]
) -> AdapterConfig:
    """Return LoRA's settings, with those of single layers by their names in the encoder.

    Raises:
        UserError: a layer has no A or no B, or they are of another rank than the configuration says.
    """
    ranks, alphas = [], []
    for name, full in files.items():
        try:
            rank = _of_pattern(lora.rank_pattern, full, lora.r)
            alpha = _of_pattern(lora.alpha_pattern, full, lora.lora_alpha)
        except re.error as error:
            raise UserError(
                f"{path}: rank_pattern or alpha_pattern has {brief(repr(error.pattern))}, which is no regular "
                f"expression ({error}); save the adapter again."
            ) from None
        shapes = [getattr(tensors.get(f"{name}.{part}.weight"), "shape", None) for part in ("lora_A", "lora_B")]
        if shapes[0] is None or shapes[1] is None or not rank == shapes[0][0] == shapes[1][1]:
            raise UserError(
                f"{path}: it says that {brief(full)} is of rank {rank}, but the weights are {shapes[0]} and "
                f"{shapes[1]}; give weights and configuration of one adapter."
            )
        ranks += [(re.escape(name), rank)] if rank != lora.r else []
        alphas += [(re.escape(name), float(alpha))] if alpha != lora.lora_alpha else []
    return AdapterConfig(
        kind="lora",
        rank=lora.r,
        alpha=float(lora.lora_alpha),
        rslora=lora.use_rslora,
        dropout=lora.lora_dropout,
        rank_pattern=tuple(ranks),
        alpha_pattern=tuple(alphas),
    )


def _of_pattern(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return the value of the first pattern that matches a layer's name, as PEFT matches them.

    Raises:
        re.error: a pattern is no regular expression.
    """
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)), default)


def _family_of(entries: Mapping[str, Any]) -> str | None:
    """Return the family of the class that PEFT notes it was put on; None: it notes none, or one of no family."""
    noted = entries.get("auto_mapping")
    name = noted.get("base_model_class") if isinstance(noted, Mapping) else None
    # Wav2Vec2 begins the names of Wav2Vec2Bert's classes too.
    fitting = [key for key, one in FAMILIES.items() if isinstance(name, str) and name.startswith(one.architecture)]
    return max(fitting, key=lambda key: len(FAMILIES[key].architecture), default=None)


def _aimed(settings: AdapterConfig, modules: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> AdapterConfig:
    """Return settings whose targets are the layers that have weights, in as few words as say it."""
    names = {layer_name(key) for key in tensors}
    targets = "|".join(sorted({name.rpartition(".")[2] for name in names}))
    first = min((layer for name in names if (layer := layer_of(name)) is not None), default=None)
    count = 1 + max((layer for name in modules if (layer := layer_of(name)) is not None), default=-1)
    for last in (None, count - first if first else None):
        short = replace(settings, targets=targets, last_layers=last)
        if set(target_names(modules, replace(short, last_layers=last))) == names:
            break
    else:
        short = replace(settings, targets="|".join(map(re.escape, sorted(names))))
    scaled = {layer_name(key) for key, tensor in tensors.items() if key.endswith(".ia3_l") and tensor.shape[0] == 1}
    if settings.kind == "ia3":
        own = "|".join(map(re.escape, sorted(scaled)))
        as_default = all(short.scales_input(name) == (name in scaled) for name in names)
        # Of an empty pattern nothing is the whole name.
        short = short if as_default else replace(short, feedforward=own)
    return short


def write_peft(folder: Path, encoder: nnx.Module, settings: AdapterConfig, base: str, prefix: str = "") -> None:
    """Write an encoder's adapters as PEFT reads them (`PeftModel.from_pretrained`).

    Args:
        folder: is made.
        encoder: with its adapters.
        settings: of them.
        base: the encoder's own weights: a directory or hub id.
        prefix: of the encoder in the base model that they will be put on, such as `wavlm.`; none for the encoder alone.

    Raises:
        UserError: the kind is none of PEFT's, or the files cannot be written.
    """
    kinds = {kind: name for name, kind in _KINDS.items()}
    if settings.kind not in kinds:
        raise UserError(f"model.adapter.kind is {settings.kind}, which PEFT does not have; it has lora and ia3.")
    layers = adapted_layers(encoder)
    names = [f"{prefix}{name}" for name in layers]
    entries: dict[str, Any] = {
        "peft_type": kinds[settings.kind],
        "base_model_name_or_path": base,
        "task_type": None,
        "inference_mode": True,
        "target_modules": names,
    }
    if settings.kind == "lora":
        ranks = {name: settings.rank_of(name) for name in layers}
        scales = {name: _alpha(settings, name) for name in layers}
        entries |= {
            "r": settings.rank,
            "lora_alpha": _plain(settings.alpha),
            "lora_dropout": settings.dropout,
            "use_rslora": settings.rslora,
            "bias": "none",
            "rank_pattern": {f"{prefix}{n}": rank for n, rank in ranks.items() if rank != settings.rank},
            "alpha_pattern": {f"{prefix}{n}": _plain(alpha) for n, alpha in scales.items() if alpha != settings.alpha},
        }
    else:
        entries["feedforward_modules"] = [f"{prefix}{name}" for name in layers if settings.scales_input(name)]
    tensors = {
        f"{_BEFORE}{prefix}{key}": tensor for key, tensor in to_tensors(encoder).items() if PARTS & set(key.split("."))
    }
    write_tensors(folder / WEIGHTS, tensors)
    write_text(folder / CONFIG, json.dumps(entries, indent=2) + "\n")


def _alpha(settings: AdapterConfig, name: str) -> float:
    rank = settings.rank_of(name)
    return settings.scale_of(name) * (rank**0.5 if settings.rslora else rank)


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
