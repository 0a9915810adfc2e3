"""ONNX files of an ensemble: the model, one for audonnx that shares its weights, and one with weights of 8 bits."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serjax.audio import SAMPLE_RATE
from serjax.inference.export.converter import convert
from serjax.inference.export.graph import import_onnx
from serjax.inference.export.program import Program
from serjax.runtime.errors import MissingPackage
from serjax.runtime.platform import compiling_for

if TYPE_CHECKING:
    import onnx

MODEL, INT8, BESIDE = "model.onnx", "model.int8.onnx", "model.onnx.data"
AUDONNX, AUDONNX_MODEL = "model.yaml", "audonnx.onnx"
LARGEST = 2**31 - 2**24
"""Bytes of a file; protobuf reads less than 2 GiB, and weights beyond that get a file of their own."""
SMALL = 1024
"""Bytes up to which a constant stays in the file that needs it."""
_FORMAT_OF_AUDONNX = "1.0.1"
"""Version of audonnx that the folder was tested with."""


def write_onnx(program: Program, folder: Path, *, int8: bool = False) -> dict[str, str]:
    """Write a program as ONNX; return what each file is.

    Raises:
        UserError: onnx or, for int8, ONNX Runtime is not installed; or the model has a step that has no operator.
    """
    onnx = import_onnx()
    # Elsewhere than on a CPU models leave convolutions to the library, which is what ONNX Runtime has too.
    with compiling_for("gpu"):
        model = convert(program.call, program.weights, program.inputs())
    facts = {"labels": list(program.models.labels), "outputs": program.models.outputs, "sampling_rate": SAMPLE_RATE}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    files = {MODEL: "ensemble: wave [batch, time], lengths [batch] -> logits [batch, members, labels], scores"}
    if model.ByteSize() > LARGEST:
        files[BESIDE] = f"weights of {MODEL}"
        onnx.save(model, folder / MODEL, save_as_external_data=True, location=BESIDE, size_threshold=SMALL)
        model = onnx.load(folder / MODEL, load_external_data=False)
    else:
        onnx.save(model, folder / MODEL)
    # Shapes are checked by what reads the file, which knows the weights.
    onnx.checker.check_model(folder / MODEL, full_check=True)
    _write_for_audonnx(model, folder, program)
    files[AUDONNX] = "for audonnx.load, one clip at a time"
    files[AUDONNX_MODEL] = f"graph of {AUDONNX}; its weights lie in {BESIDE if BESIDE in files else MODEL}"
    if int8:
        quantize(folder / MODEL, folder / INT8)
        files[INT8] = f"{MODEL} with the weights of its matrix products in 8 bits"
    return files


def quantize(source: Path, target: Path) -> None:
    """Write a model with the weights of its matrix products in 8 bits, whose inputs are rounded as they come.

    Raises:
        MissingPackage: ONNX Runtime is not installed.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise MissingPackage("ONNX Runtime", "onnx", "Models are rounded to 8 bits") from None
    # It gives the root logger a handler, to advise a step for models whose shapes are not known.
    root = logging.getLogger()
    handlers, level = root.handlers[:], logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    finally:
        logging.disable(level)
        root.handlers[:] = handlers


def _write_for_audonnx(model: "onnx.ModelProto", folder: Path, program: Program) -> None:
    """Write a graph for one clip, whose input audonnx can shape, and its description.

    audonnx brings every input to its declared shape, in which one size may be open.
    """
    onnx = import_onnx()
    helper, batch = onnx.helper, _with_weights_of(model, folder)
    graph = batch.graph
    wave, lengths = graph.input
    size = wave.type.tensor_type.shape.dim[1]
    size = size.dim_param or size.dim_value
    scores = [*(_one_clip(output) for output in graph.output)]
    signal = helper.make_tensor_value_info("signal", onnx.TensorProto.FLOAT, [1, size])
    first = [
        helper.make_node("Identity", ["signal"], [wave.name]),
        helper.make_node("Shape", ["signal"], ["signal_size"], start=1, end=2),
        helper.make_node("Cast", ["signal_size"], [lengths.name], to=onnx.TensorProto.INT32),
    ]
    alone = helper.make_graph([*first, *graph.node], "serjax", [signal], scores, graph.initializer)
    batch.graph.CopyFrom(alone)
    (folder / AUDONNX_MODEL).write_bytes(batch.SerializeToString())
    labels = "".join(f"    - {json.dumps(label)}\n" for label in program.models.labels)
    text = f"$audonnx.core.model.Model=={_FORMAT_OF_AUDONNX}:\n  path: {AUDONNX_MODEL}\n  labels:\n"
    text += f"    logits: &labels\n{labels}    scores: *labels\n  transform: null\n"
    (folder / AUDONNX).write_text(text, encoding="utf-8")


def _one_clip(output: "onnx.ValueInfoProto") -> "onnx.ValueInfoProto":
    """Return the description of an output whose first size is 1."""
    copied = type(output)()
    copied.CopyFrom(output)
    copied.type.tensor_type.shape.dim[0].dim_value = 1
    return copied


def _with_weights_of(model: "onnx.ModelProto", folder: Path) -> "onnx.ModelProto":
    """Return a model whose weights are stretches of the file in which the written model has them."""
    onnx = import_onnx()
    copied = type(model)()
    copied.CopyFrom(model)
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        return copied
    # The file holds the bytes of each array as they are, one after the other.
    written, at = (folder / MODEL).read_bytes(), 0
    for one in copied.graph.initializer:
        raw = one.raw_data
        if len(raw) < SMALL:
            continue
        at = written.index(raw, at)
        _point(one, {"location": MODEL, "offset": at, "length": len(raw)})
        at += len(raw)
    return copied


def _point(tensor: "onnx.TensorProto", place: Mapping[str, Any]) -> None:
    """Let a tensor's elements be a stretch of another file."""
    onnx = import_onnx()
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in place.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
