"""Files of a run and of a checkpoint that were changed, cut or made up: each is read, or refused in one sentence."""

import contextlib
import json
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from flax import nnx, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_run import make_run
from saved_runs import ENCODER, write_run

from serjax.checkpoints.formats.tensors import read_file, read_tensors
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.data.folds.fold import Fold, load_folds, read_numbers, save_folds
from serjax.data.known_clips import read_adapted, read_known, write_adapted
from serjax.data.utterance import Utterance
from serjax.evaluation.comparison import read_each
from serjax.evaluation.history import chosen_histories
from serjax.evaluation.out_of_fold import write_oof_csv
from serjax.evaluation.task_comparison import read_tasks
from serjax.inference.load import load
from serjax.models.encoders.build import build_encoder
from serjax.runs.push import write_card
from serjax.runs.starts import find_encoders
from serjax.runtime.errors import UserError
from serjax.training.metric_log import read_history

LONGEST = 30
"""Seconds after which a reader counts as hung."""

CLIPS = [Utterance(f"clip {i}", Path(f"{i}.wav"), "angry", f"s{i}") for i in range(4)]


@dataclass(frozen=True)
class Case:
    """A file of a folder, and what reads it."""

    file: Path
    read: tuple


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """Every file that is read of a run and of a checkpoint, both as small as can be."""
    run, published = tmp_path_factory.mktemp("hostile") / "run", tmp_path_factory.mktemp("hostile") / "published"
    write_run(run, calibration=((1.0, (0.1, 0.2)), (2.0, (0.5,))))
    made = make_run()
    write_oof_csv(run / "oof.csv", *made.seeds)
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made.history[:8]))
    (run / "report.json").write_text(json.dumps(made.report))
    folds = [Fold(1, (2,), (3,), (0, 1)), Fold(2, (0,), (1,), (2, 3))]
    save_folds(run / "folds.json", folds, CLIPS, kind="speaker", seed=0, hashes=["a", "b", "c", "d"])
    write_adapted(run, ["a", "b"])
    pretrained = run / "pretraining"
    pretrained.mkdir()
    for name in ("experiment.json", "folds.json"):
        shutil.copy(run / name, pretrained)
    (pretrained / "pretrained.json").write_text('{"corpus": "train", "folds": [1, 2]}')
    head = {"projector.weight": (4, 16), "projector.bias": (4,), "classifier.weight": (2, 4), "classifier.bias": (2,)}
    save_pretrained(
        build_encoder(ENCODER, rngs=nnx.Rngs(0)),
        published,
        preprocessor=Preprocessor(),
        prefix="wav2vec2.",
        extra_tensors={key: np.zeros(shape, np.float32) for key, shape in head.items()},
        extra_config={"id2label": {"0": "calm", "1": "angry"}},
    )
    (published / "x.msgpack").write_bytes(
        serialization.msgpack_serialize({"a": {"kernel": np.eye(3, dtype=np.float32)}})
    )
    shards = published / "shards"
    shards.mkdir()
    shutil.copy(published / "model.safetensors", shards / "model-1.safetensors")
    (shards / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')

    def known(folder):
        return read_known(folder, (1, 2)), read_numbers(folder / "folds.json"), load_folds(folder / "folds.json", CLIPS)

    def history(folder):
        return chosen_histories(read_history(folder))

    def reported(folder):
        return read_tasks(folder), write_card(folder, {"license": "mit"})

    run_readers = {
        "model.json": load,
        "calibration.json": load,
        "fold_1/config.json": load,
        "fold_1/model.safetensors": load,
        "fold_2/preprocessor_config.json": load,
        "report.json": reported,
        "folds.json": known,
        "adapted_to.json": read_adapted,
        "metrics.jsonl": history,
        "oof.csv": lambda folder: read_each([folder]),
    }
    found = [Case(run / name, (partial(read, run),)) for name, read in run_readers.items()]
    found.append(Case(run / "report.json", (partial(find_encoders, str(run)),)))
    found.append(Case(pretrained / "pretrained.json", (partial(find_encoders, str(pretrained)),)))
    found.append(Case(pretrained / "folds.json", (partial(find_encoders, str(pretrained)),)))
    readers = (partial(load, published), partial(load_encoder, str(published)))
    found += [
        Case(published / name, readers) for name in ("config.json", "preprocessor_config.json", "model.safetensors")
    ]
    found.append(Case(published / "x.msgpack", (partial(read_file, published / "x.msgpack"),)))
    found.append(Case(shards / "model.safetensors.index.json", (partial(read_tensors, shards),)))
    return found


TEXTS = st.sampled_from(["", "../../etc", "1/../../x", "\x1b[2J", "nan", "a" * 5_000, "\u2028", "ä"]) | st.text(
    max_size=4
)
NUMBERS = st.sampled_from([0, -1, 1, 2, 7, 10_000, 2**31, 2**62, 10**30, 1e308, float("nan"), float("inf"), 0.5])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
) | st.sampled_from([[1] * 20_000, {str(i): 1 for i in range(2_000)}])


def changed_json(data, text):
    """Return JSON in which one value is another one, or is missing, or which has one more."""
    value = json.loads(text)
    place, key = {"": value}, ""
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.integers(0, 4)):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    if key != "" and data.draw(st.integers(0, 3)) == 0:
        del place[key]
        return json.dumps(value)
    place[key] = data.draw(VALUES)
    return json.dumps(value if key != "" else place[""])


def changed_bytes(data, content):
    """Return bytes of which some are others, or are missing, or all of which are made up."""
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(200, len(content) - 1)))
    match data.draw(st.sampled_from(["cut", "change", "put in", "take out", "made up"])):
        case "cut":
            return content[:at]
        case "change":
            new = data.draw(st.binary(min_size=1, max_size=4))
            return content[:at] + new + content[at + len(new) :]
        case "put in":
            return content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at:]
        case "take out":
            return content[:at] + content[at + data.draw(st.integers(1, 8)) :]
        case _:
            return data.draw(st.binary(max_size=80))


class Hung(BaseException):
    """No reader takes it for an error of the file."""


@contextlib.contextmanager
def within(seconds):
    """Let what takes longer fail, wherever it is."""

    def hung(*_):
        raise Hung(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_changed(data, cases, only_json):
    """Change a file, read it in every way, and put it back; any error but a sentence of ours fails the test."""
    jsons = [case for case in cases if case.file.suffix in (".json", ".jsonl")]
    case = data.draw(st.sampled_from(jsons if only_json else cases))
    content = case.file.read_bytes()
    beside = {path: path.read_bytes() for path in case.file.parent.glob("R*.md")}
    if not only_json:
        new = changed_bytes(data, content)
    elif case.file.suffix == ".jsonl":
        first, _, rest = content.decode().partition("\n")
        new = f"{changed_json(data, first)}\n{rest}".encode()
    else:
        new = changed_json(data, content).encode()
    try:
        for read in case.read:
            case.file.write_bytes(new)
            with within(LONGEST), contextlib.suppress(UserError):
                read()
    finally:
        case.file.write_bytes(content)
        for path, text in beside.items():
            path.write_bytes(text)


few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(data=st.data(), only_json=st.booleans())
def test_a_changed_file_is_read_or_refused_in_a_sentence(cases, data, only_json):
    read_changed(data, cases, only_json)


@pytest.mark.slow
@many
@given(data=st.data())
def test_300_changed_json_files_are_read_or_refused_in_a_sentence(cases, data):
    read_changed(data, cases, True)


@pytest.mark.slow
@many
@given(data=st.data())
def test_300_changed_files_are_read_or_refused_in_a_sentence(cases, data):
    read_changed(data, cases, False)
