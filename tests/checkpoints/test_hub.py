import fnmatch
import logging

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from serjax.checkpoints.hub import BUNDLED, bundled_names, is_hub_id, resolve
from serjax.runtime.errors import UserError

CONFIGS = {"config.json", "preprocessor_config.json"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Stand in for the hub: a set of files in one repository; returns what was fetched."""

    def serve(files):
        fetched = []

        def snapshot_download(repository, allow_patterns):
            assert repository == "owner/name"
            for name in files:
                if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns) and name not in fetched:
                    fetched.append(name)
                    (tmp_path / name).write_text("")
            return str(tmp_path)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        return fetched

    return serve


@pytest.mark.parametrize(
    ("weights", "ignored"),
    [
        ({"model.safetensors"}, {"pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "model.fp16.safetensors"}),
        (
            {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
            {"pytorch_model.bin"},
        ),
        ({"pytorch_model.bin"}, {"flax_model.msgpack", "optimizer.bin", "README.md"}),
        ({"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"}, {"flax_model.msgpack"}),
        ({"flax_model.msgpack"}, {"tf_model.h5"}),
        ({"hyperparams.yaml", "label_encoder.txt", "wav2vec2.ckpt", "model.ckpt"}, {"anger.wav"}),
    ],
)
def test_fetches_weights_once_and_safetensors_first(hub, tmp_path, weights, ignored):
    fetched = hub(CONFIGS | weights | ignored)
    assert resolve("owner/name") == tmp_path
    assert set(fetched) == CONFIGS | weights


def test_a_directory_is_itself(tmp_path):
    assert resolve(str(tmp_path)) == tmp_path


def test_what_comes_with_serjax_is_never_fetched(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert bundled_names() == ["serjax-tiny"]
    assert resolve("serjax-tiny") == BUNDLED / "serjax-tiny"


def test_a_directory_comes_before_what_comes_with_serjax_and_that_is_said(monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "serjax-tiny").mkdir()
    with caplog.at_level(logging.INFO, logger="serjax"):
        assert resolve("serjax-tiny").absolute() == tmp_path / "serjax-tiny"
    assert caplog.messages == [
        f"serjax-tiny is the folder {tmp_path / 'serjax-tiny'}, and not the checkpoint that comes with serjax."
    ]


def test_a_file_is_not_a_checkpoint(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="give the directory"):
        resolve(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("source", ["./nowhere", "/no/where", "a/b/c", "../x", "", "nowhere/", "näme"])
def test_what_is_neither_directory_nor_hub_id_never_asks_the_hub(monkeypatch, tmp_path, source):
    # A folder beside the checkout may have any name.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(UserError, match="no such directory, and it is no hub id"):
        resolve(source)


@pytest.mark.parametrize("setting", [("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://127.0.0.1:9")])
def test_without_a_connection_says_what_to_do(monkeypatch, tmp_path, setting):
    monkeypatch.setattr(constants, *setting)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"owner/name: .*hub is out of reach; .*give the directory.*--model.size small"):
        resolve("owner/name")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (errors.RepositoryNotFoundError, "no such repository"),
        (errors.GatedRepoError, "ask for access"),
        (TimeoutError, "TimeoutError: too slow"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(monkeypatch, kind, words):
    error = kind.__new__(kind)
    error.args = ("too slow\nand more lines",)

    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=words) as raised:
        resolve("owner/name")
    assert "\n" not in str(raised.value)


def test_what_is_here_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("facebook/hubert-base-ls960")
    # The model card would name it as a base model of the hub.
    assert not is_hub_id("serjax-tiny")
    (tmp_path / "mine").mkdir()
    assert not is_hub_id("mine")
    assert not is_hub_id("../mine")
