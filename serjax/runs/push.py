"""Upload of a finished run to the Hugging Face hub."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serjax.evaluation.model_card import model_card
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import contents_of, read_json

log = logging.getLogger(__name__)

FILES = (
    "README.md",
    "*.png",
    "experiment.json",
    "folds.json",
    "model.json",
    "calibration.json",
    "report.json",
    "oof*.csv",
    "metrics.jsonl",
    "fold_*/*",
    "seed_*/*",
)
"""Files of a run folder that are uploaded: models, card, and what the card names."""


_AGAIN = "copy the run folder again, or train again"


def check_target(to: str) -> None:
    """See that a repository can be written, before anything long is begun.

    Args:
        to: of the repository, owner/name.

    Raises:
        UserError: it is no such name, there is no token or the hub does not accept it, or the hub is out of reach.
    """
    import huggingface_hub

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", to, re.ASCII):
        raise UserError(f"{to!r} is no repository of the hub; give USER/NAME, such as me/hubert-emodb.")
    if huggingface_hub.get_token() is None:
        raise UserError("there is no token of the Hugging Face hub; run `hf auth login`, or set HF_TOKEN.")
    _asked(to, lambda: huggingface_hub.HfApi().whoami())


def push(run: str | Path, to: str, *, private: bool = False, card: Mapping[str, Any] | None = None) -> str:
    """Upload a finished run to the hub, where `serjax.load` finds it by its name; return its address.

    Args:
        run: the run folder.
        to: repository, USER/NAME; it is made where there is none.
        private: make it so that others cannot read it.
        card: fields of `CardConfig` that are given now; the page of the run folder is written anew with them.

    Raises:
        UserError: the run is not finished, or the hub refuses.
    """
    import huggingface_hub

    folder = Path(run).expanduser()
    _finished(folder)
    check_target(to)
    if not write_card(folder, card or {}).get("license"):
        log.warning(f"{to}: the model card names no licence; give one with --card.license, such as cc-by-nc-4.0.")
    api = huggingface_hub.HfApi()
    _asked(to, lambda: api.create_repo(to, private=private, exist_ok=True))
    _asked(to, lambda: api.upload_folder(repo_id=to, folder_path=folder, allow_patterns=list(FILES)))
    return f"{api.endpoint}/{to}"


def write_card(run: str | Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write a finished run's model card, its README.md, anew where fields of it are given; return all its fields.

    Args:
        run: the run folder.
        card: fields of `CardConfig`; those that are empty stay as they are.

    Raises:
        UserError: the run is not finished, or the folder cannot be written to.
    """
    folder = Path(run).expanduser()
    report = _finished(folder)
    path = folder / "report.json"
    with contents_of(path, _AGAIN):
        fields: dict[str, Any] = dict(report["experiment"].get("card", {}))
    if given := {name: value for name, value in card.items() if value}:
        fields = report["experiment"]["card"] = fields | given
        with contents_of(path, _AGAIN):
            page = model_card(report)
        write_text(folder / "README.md", page)
        write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    return fields


def _finished(folder: Path) -> dict[str, Any]:
    """Return the report of a finished run.

    Raises:
        UserError: there is no such folder, or no finished run of `serjax.train` in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give that of a finished run, such as checkpoints/run.")
    if not (folder / "experiment.json").is_file():
        raise UserError(f"{folder}: it holds no run; give the folder of a finished run of serjax.train.")
    if not (folder / "report.json").is_file() or not (folder / "model.json").is_file():
        raise UserError(f"{folder}: the run is not finished, or is one of pretraining; give a finished one.")
    return read_json(folder / "report.json")


def _asked(to: str, ask: Callable[[], Any]) -> Any:
    """Return the hub's answer.

    Raises:
        UserError: it refuses or is out of reach; one sentence says why.
    """
    from huggingface_hub import errors

    try:
        return ask()
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        known = {
            401: "the hub does not accept the token; run `hf auth login` again, or set HF_TOKEN",
            403: "the token may not write there; give a name of your own, or a token that may write",
        }
        reason = known.get(status or 0) or f"the hub answered {status} ({_first_line(error)}); try again"
    except OSError as error:
        reason = f"the hub is out of reach, or a file cannot be read ({_first_line(error)}); try again when it is there"
    except Exception as error:  # the HTTP library beneath has changed with releases, and its errors with it
        reason = f"it could not be uploaded ({type(error).__name__}: {_first_line(error)}); try again"
    raise UserError(f"{to}: {reason}.") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
