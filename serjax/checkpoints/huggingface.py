"""Hugging Face checkpoints of speech encoders, in and out, without PyTorch."""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.checkpoints import funasr
from serjax.checkpoints.adapter_weights import merged
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.conversion import load_tensors, matches, to_tensors
from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.hub import FUNASR, resolve
from serjax.checkpoints.peft import is_peft, read_base, read_peft
from serjax.checkpoints.preprocessor import Preprocessor, read_preprocessor
from serjax.checkpoints.releases.table import find_release
from serjax.models.adapter_config import PARTS, AdapterConfig
from serjax.models.base import DType
from serjax.models.encoders import config as encoder_config
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.stack import BaseEncoder
from serjax.models.functional import abstract
from serjax.runtime.constraints import from_json
from serjax.runtime.disk import disk_errors, link, write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json

_TASK_KEYS = tuple(
    rf"{name}(\..*)?"
    for name in (
        *("lm_head", "quantizer", "project_hid", "project_q", "projector", "classifier", "layer_weights", "head"),
        *("decoder", "proj_out"),
    )
)
"""Keys beside the encoder's in checkpoints of its pretraining, of speech recognition and of classification."""

ENCODER_SHARD, _HEAD_SHARD = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
"""Files of the encoder and of what comes with it, where several directories have one encoder."""


ADAPTER = "serjax_adapter"
"""Key of config.json under which the settings of adapters stand that lie beside the weights which they adapt."""

SavedAs = Literal["float32", "float16"]
"""Formats that weights are written in."""


class Pretrained(NamedTuple):
    """An encoder with its weights.

    Attributes:
        encoder: ready to call.
        preprocessor: how its input is prepared.
        notes: sentences for the user about what was assumed or not used.
    """

    encoder: BaseEncoder
    preprocessor: Preprocessor
    notes: tuple[str, ...]


def read_checkpoint(source: str) -> Checkpoint:
    """Read a checkpoint, without making a model of it; adapters, ours or PEFT's on its base model, are merged.

    Args:
        source: a directory, of FunASR's layout too, or a hub id such as `facebook/hubert-base-ls960`.

    Raises:
        UserError: it cannot be found or fetched, a file of it is missing or damaged, it is of another architecture, or
            a decoder without an encoder.
    """
    directory = resolve(source)
    if _is_adapter(directory):
        base = read_base(directory)
        if _is_adapter(resolve(base)):
            raise UserError(
                f"{source}: its base model, {base}, is an adapter too; merge that one with PEFT, and name the result "
                "in base_model_name_or_path."
            )
        return _with_adapter(source, read_checkpoint(base))
    release = find_release(directory)
    if release is not None:
        reader = import_module(f"serjax.checkpoints.releases.{release.name}")
        released: Checkpoint = reader.read(source, directory)
        return released._replace(release=release)
    config, encoder, preprocessor, notes = read_layout(directory, source)
    if funasr.is_funasr(directory):
        tensors, told = funasr.read_weights(directory, config, source)
        return Checkpoint(source, config, encoder, preprocessor, tensors, (*notes, *told))
    outer = FAMILIES[encoder.model_type].outer
    tensors = {key.removeprefix(outer): tensor for key, tensor in read_tensors(directory).items()}
    parts = {key.partition(".")[0] for key in tensors}
    if "decoder" in parts and "encoder" not in parts:
        raise UserError(
            f"{source}: its weights are a decoder's, without the encoder; give the checkpoint of a whole "
            f"{FAMILIES[encoder.model_type].architecture}, or of its encoder."
        )
    languages = getattr(encoder, "adapter_attn_dim", None) if encoder.norm_first else None
    if languages is not None and not any("adapter_layer" in key.split(".") for key in tensors):
        raise UserError(
            f"{source}/config.json: adapter_attn_dim is {languages}, but the weights hold no adapter of a "
            "language, which MMS has in files of their own (adapter.*.safetensors) too; save the model with one of "
            "them by transformers (target_lang), and give that."
        )
    if ADAPTER in config:
        settings = from_json(AdapterConfig, json.dumps(config[ADAPTER]), f"{source}/config.json")
        tensors = merged(tensors, settings, FAMILIES[encoder.model_type].prefix, source)
    if config.get("auto_map"):
        notes = (*notes, f"{source}: config.json names code that comes with it (auto_map), which is never run.")
    return Checkpoint(source, config, encoder, preprocessor, tensors, notes)


def _is_adapter(directory: Path) -> bool:
    """Return whether a directory holds an adapter of PEFT alone."""
    return is_peft(directory) and not (directory / "config.json").is_file()


def _with_adapter(source: str, base: Checkpoint) -> Checkpoint:
    """Return a base model with an adapter of PEFT merged into its weights."""
    found = read_peft(source, base.encoder)
    prefix = base.prefix if any(key.startswith(base.prefix) for key in base.tensors) else ""
    tensors = base.tensors | {prefix + key: tensor for key, tensor in found.tensors.items()}
    notes = (*base.notes, *found.notes, f"{source} is merged into its base model, {found.base}.")
    return base._replace(source=source, tensors=merged(tensors, found.settings, prefix, source), notes=notes)


def read_layout(directory: Path, source: str) -> tuple[dict[str, Any], EncoderConfig, Preprocessor, tuple[str, ...]]:
    """Read a checkpoint's settings without its weights: those of a config.json, the encoder's layout, how its input is
    prepared, and sentences on what was assumed.

    Args:
        directory: of the checkpoint, Hugging Face's, FunASR's or a release's.
        source: what to call it in a message.

    Raises:
        UserError: a file is missing or damaged, or the checkpoint of another architecture.
    """
    if find_release(directory) is not None:
        found = read_checkpoint(str(directory))  # its tensors are mapped, not read
        return found.config, found.encoder, found.preprocessor, found.notes
    if funasr.is_funasr(directory):
        config = funasr.read_config(directory, source)
        normalize = Preprocessor(config["normalize"], return_attention_mask=True)
        path = f"{source}/{FUNASR}"
        try:
            return config, encoder_config.from_dict(config, path), normalize, ()
        except UserError as error:
            raise UserError(path + funasr.in_their_words(str(error).removeprefix(path))) from None
    config = read_json(directory / "config.json")
    encoder = encoder_config.from_dict(config, f"{source}/config.json")
    return config, encoder, *read_preprocessor(directory, encoder)


def load_encoder(source: str, dtype: DType = "float32") -> Pretrained:
    """Load the encoder of a checkpoint of the encoder alone, of its pretraining, or of a task.

    Args:
        source: a directory, or a hub id such as `facebook/hubert-base-ls960`.
        dtype: of its weights in memory, whatever the file's.

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its weights do not fit its config.
    """
    checkpoint = read_checkpoint(source)
    config = checkpoint.encoder
    prefix = checkpoint.prefix
    if prefix and any(key.startswith(prefix) for key in checkpoint.tensors):
        ignored = tuple(key for key in checkpoint.tensors if not key.startswith(prefix))
    else:
        prefix = ""
        ignored = tuple(key for key in checkpoint.tensors if matches(key, _TASK_KEYS))
    encoder = abstract(lambda rngs: build_encoder(config, rngs=rngs), dtype)
    state = load_tensors(
        encoder,
        checkpoint.tensors,
        source=source,
        prefix=prefix,
        allow_missing=[re.escape(f"{prefix}masked_spec_embed")],
        allow_extra=[re.escape(key) for key in ignored],
    )
    nnx.update(encoder, state)
    notes = list(checkpoint.notes)
    if hasattr(encoder, "masked_spec_embed") and "masked_spec_embed" not in state:
        encoder.masked_spec_embed.set_value(jnp.zeros(config.hidden_size, dtype))
        if config.mask_time_prob > 0:
            notes.append(f"{source} has no masked_spec_embed: masked frames start as zeros.")
    if ignored:
        names = sorted({key.split(".")[0] for key in ignored})
        notes.append(f"{source} also holds {', '.join(names)}; only the encoder was loaded.")
    return Pretrained(encoder, checkpoint.preprocessor, tuple(notes))


def save_pretrained(
    encoder: BaseEncoder,
    directory: str | Path,
    *,
    preprocessor: Preprocessor,
    prefix: str = "",
    extra_tensors: Mapping[str, np.ndarray] | None = None,
    extra_config: Mapping[str, Any] | None = None,
    shared: Path | None = None,
    dtype: SavedAs = "float32",
) -> None:
    """Write a directory that transformers loads in PyTorch (`HubertModel.from_pretrained`), and `load_encoder` here.

    Of a family with a decoder, transformers' class makes one without layers.

    No reader sees half a file, and config.json comes last.

    Args:
        encoder: what to save.
        directory: where to; it is made, and files of the same names in it are replaced.
        preprocessor: how its input is prepared.
        prefix: of the encoder's keys; that of its family where a head comes with it.
        extra_tensors: further tensors by key, such as `to_tensors(head, "head.")`.
        extra_config: further entries of config.json, such as id2label.
        shared: another directory with the same encoder, or this one, in which case others will follow: the encoder is a
            file of its own and lies on the disk once, under a name in each of them.
        dtype: of the file's tensors; models made of them are float32 here and, by config.json, in transformers.

    Raises:
        UserError: the files cannot be written.
    """
    config, family, folder = encoder.config, FAMILIES[encoder.config.model_type], Path(directory)
    tensors = to_tensors(encoder, prefix)
    if config.mask_time_prob == 0 and config.mask_feature_prob == 0 and not family.always_mask_embed:
        tensors.pop(f"{prefix}masked_spec_embed", None)  # transformers then has none
    tensors, extra = _stored(tensors, dtype), _stored(extra_tensors or {}, dtype)
    # Adapters are each directory's own.
    extra |= {key: tensors.pop(key) for key in list(tensors) if not PARTS.isdisjoint(key.split("."))}
    if shared is None:
        write_tensors(folder / "model.safetensors", tensors | extra)
    else:
        write_tensors(folder / _HEAD_SHARD, extra)
        if folder == shared:
            write_tensors(folder / ENCODER_SHARD, tensors)
        else:
            with disk_errors(folder, "--out"):
                link(shared / ENCODER_SHARD, folder / ENCODER_SHARD)
        size = sum(tensor.nbytes for tensor in (*tensors.values(), *extra.values()))
        places = dict.fromkeys(tensors, ENCODER_SHARD) | dict.fromkeys(extra, _HEAD_SHARD)
        index = {"metadata": {"total_size": size}, "weight_map": places}
        write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")
    entries = {"architectures": [f"{family.architecture}Model"], **config.to_dict(), **(extra_config or {})}
    if dtype != "float32":
        entries["dtype"] = "float32"  # transformers 5 would else compute in the file's
    write_text(folder / "preprocessor_config.json", json.dumps(preprocessor.to_dict(config), indent=2) + "\n")
    write_text(folder / "config.json", json.dumps(entries, indent=2) + "\n")


def _stored(tensors: Mapping[str, np.ndarray], dtype: SavedAs) -> dict[str, np.ndarray]:
    """Return the tensors in `dtype`, but for integers, such as batch norm's count of its steps."""
    return {
        key: array.astype(dtype, copy=False) if np.issubdtype(array.dtype, np.floating) else array
        for key, array in tensors.items()
    }
