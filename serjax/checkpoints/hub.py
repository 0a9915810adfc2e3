"""Location of a checkpoint's files: a directory, a part of serjax, or a repository of the Hugging Face hub."""

import difflib
import logging
import re
from pathlib import Path

from serjax.checkpoints.formats.tensors import WEIGHT_FILES
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent / "bundled"
"""Folder of the checkpoints that come with serjax, each in a folder of its name."""

FUNASR = "config.yaml"
"""Settings of a model of FunASR's, in place of a config.json."""
RECIPE = "hyperparams.yaml"
"""File in which SpeechBrain says what a model is made of."""

_SMALL_FILES = ["config.json", "preprocessor_config.json", "processor_config.json", FUNASR, "tokens.txt"]
_FUNASR_WEIGHTS = ("model.pt",)
_SPEECHBRAIN = (RECIPE, "label_encoder.txt", "wav2vec2.ckpt", "model.ckpt")
"""All files of a release of SpeechBrain."""
_ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors"]
_RUN_FILES = ["experiment.json", "model.json", "calibration.json", "fold_*/*", "seed_*/*"]
"""Of a run that was uploaded, what answers for clips."""

_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*", re.ASCII)

_ADVICE = (
    "fetch it on a connected machine and give the directory (or, to train, start from random weights: "
    "--model.size small)."
)


def is_hub_id(source: str) -> bool:
    """Return whether a source has the form of a hub id, such as `facebook/hubert-base-ls960`, and is nothing here.

    A path is, and so is a checkpoint that comes with serjax.
    """
    here = Path(source).expanduser().exists() or source in bundled_names()
    return bool(_ID.fullmatch(source)) and not here


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a checkpoint, of Hugging Face's layout, FunASR's or SpeechBrain's, and no run."""
    return any((folder / name).is_file() for name in ("config.json", FUNASR, RECIPE))


def resolve(source: str) -> Path:
    """Return the directory of a checkpoint or a run, fetching it from the hub (or its cache) where it is a hub id.

    A directory comes before a checkpoint of that name that comes with serjax.

    Weights are fetched in one format only, safetensors where there are any.

    Args:
        source: a directory, `serjax-tiny`, or a hub id such as `facebook/hubert-base-ls960`.

    Raises:
        UserError: no such directory, no such repository, no right to it, or no connection and nothing in the cache.
    """
    path = Path(source).expanduser()
    bundled = BUNDLED / source if source in bundled_names() else None
    if source and path.is_dir():
        if bundled is not None:
            log.info(f"{source} is the folder {path.absolute()}, and not the checkpoint that comes with serjax.")
        return path
    if path.is_file():
        raise UserError(f"{source}: a checkpoint is a directory with config.json and weights; give the directory.")
    if bundled is not None:
        return bundled
    if not _ID.fullmatch(source):
        raise UserError(f"{source}: there is no such directory, and it is no hub id (owner/name) either; correct it.")
    return _download(source)


def bundled_names() -> list[str]:
    """Return the names of the checkpoints that come with serjax."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def _near(source: str) -> str:
    """Return the folder that a mistyped path may mean, as a clause; nothing where there is none."""
    path = Path(source)
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, 1)
    return f" (did you mean {path.parent / near[0]}?)" if near else ""


def _download(repository: str) -> Path:
    import huggingface_hub  # slow to import, and seldom needed
    from huggingface_hub import errors

    try:
        for names in (*WEIGHT_FILES, _SPEECHBRAIN, _FUNASR_WEIGHTS):
            patterns = [*_SMALL_FILES, *_ADAPTER_FILES, *_RUN_FILES, *names]
            folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns=patterns))
            if any(any(folder.glob(name)) for name in (*names, "model.json")):
                break
        return folder
    except errors.GatedRepoError:
        problem = "its owner wants users to ask for access; ask, run `hf auth login`, and try again."
    except errors.RepositoryNotFoundError:
        problem = "there is no such directory, and the hub has no such repository that you may read; correct the name."
    except errors.LocalEntryNotFoundError:
        problem = f"there is no such directory{_near(repository)}, and the hub is out of reach; {_ADVICE}"
    except Exception as error:  # the HTTP library beneath has changed with releases, and its errors with it
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        problem = f"it could not be fetched from the hub ({type(error).__name__}: {reason}); {_ADVICE}"
    raise UserError(f"{repository}: {problem}")
