"""Cells of a study: an encoder's heads trained on a corpus, and their answers for the other corpora."""

import logging
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from serjax.evaluation.out_of_fold import OutOfFold, read_seeds
from serjax.runs.finetune import train
from serjax.runs.folder import is_finished
from serjax.runs.study.protocols import cell_experiment
from serjax.runs.study.settings import CELLS, Study, StudyCorpus, StudyEncoder
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)

Stage = Literal["train", "answer"]
OOF = "oof.csv"


class Cell(NamedTuple):
    """Work that is done at once, and done again where it was stopped.

    Attributes:
        stage: train heads of all folds, seeds and rates; or answer the other corpora with them.
        encoder: name of the encoder.
        corpus: name of the corpus of the heads.
    """

    stage: Stage
    encoder: str
    corpus: str

    @property
    def title(self) -> str:
        """Words for messages."""
        return f"{self.encoder} on {self.corpus}" + (", for the other corpora" if self.stage == "answer" else "")


def stages(study: Study) -> Iterator[list[Cell]]:
    """Yield the cells whose work rests on that of the cells before."""
    order: tuple[Stage, ...] = ("train", "answer") if study.protocol == "cross" else ("train",)
    for stage in order:
        yield [Cell(stage, encoder.name, corpus.name) for encoder in study.encoders for corpus in study.corpora]


def find(study: Study, cell: Cell) -> tuple[StudyEncoder, StudyCorpus]:
    """Return a cell's encoder and corpus.

    Raises:
        UserError: the study has no such cell.
    """
    encoder = next((one for one in study.encoders if one.name == cell.encoder), None)
    corpus = next((one for one in study.corpora if one.name == cell.corpus), None)
    if encoder is None or corpus is None:
        raise UserError(f"{study.folder}: the study has no cell {cell.encoder} {cell.corpus}.")
    return encoder, corpus


def run_folder(study: Study, encoder: str, corpus: str) -> Path:
    """Return the folder of the run that trains an encoder's heads on a corpus."""
    return study.folder / CELLS / encoder / corpus


def answer_folder(study: Study, encoder: str, train: str, test: str) -> Path:
    """Return the folder of the answers of heads, trained on a corpus, for another one."""
    return run_folder(study, encoder, train) / f"on_{test}"


def _failure(study: Study, cell: Cell) -> Path:
    folder = run_folder(study, cell.encoder, cell.corpus)
    return folder.with_name(f"{folder.name}.{cell.stage}.failed")


def log_file(study: Study, cell: Cell) -> Path:
    """Return the file of the output of a job that does a cell."""
    folder = run_folder(study, cell.encoder, cell.corpus)
    return folder.with_name(f"{folder.name}.{cell.stage}.log")


def sentence(study: Study, cell: Cell) -> str | None:
    """Return why a cell failed; None where it did not."""
    path = _failure(study, cell)
    return path.read_text(encoding="utf-8").partition("\n")[0] if path.is_file() else None


def fail(study: Study, cell: Cell, why: str) -> None:
    """Note why a cell failed: a sentence, and after it what else may help.

    Raises:
        UserError: it cannot be written.
    """
    write_text(_failure(study, cell), f"{why}\n")


def forget(study: Study, cell: Cell) -> None:
    """Remove the sentence on a cell that is tried again."""
    _failure(study, cell).unlink(missing_ok=True)


def is_done(study: Study, cell: Cell) -> bool:
    """Return whether a cell's results are there."""
    if cell.stage == "train":
        return is_finished(cell_experiment(study, *find(study, cell)))
    return all(
        (answer_folder(study, cell.encoder, cell.corpus, other) / "report.json").is_file()
        for other in others(study, cell)
    )


def others(study: Study, cell: Cell) -> list[str]:
    """Return the corpora that a cell's heads were not trained on."""
    return [corpus.name for corpus in study.corpora if corpus.name != cell.corpus]


def run_cell(study: Study, cell: Cell, command: str) -> bool:
    """Do a cell, or go on where it was stopped; return whether it came to an end, else a sentence says why.

    Args:
        study: its settings, classes included.
        cell: of the study.
        command: by which the study was asked for.

    Raises:
        UserError: the study has no such cell, or nothing can be written.
    """
    encoder, corpus = find(study, cell)
    forget(study, cell)
    try:
        if cell.stage == "train":
            train(cell_experiment(study, encoder, corpus), command, example=False)
        else:
            from serjax.runs.study.across import answer_others

            if not is_done(study, Cell("train", cell.encoder, cell.corpus)):
                raise UserError("there are no heads, as their training failed.")
            answer_others(study, encoder, corpus, command)
    except UserError as error:
        fail(study, cell, " ".join(str(error).split()))
    except Exception as error:  # one cell of many: the others go on, and the page has what happened
        reason = " ".join(str(error).split()) or "no reason was given"
        fail(study, cell, f"{type(error).__name__}: {reason[:300]}\n{traceback.format_exc()}")
    why = sentence(study, cell)
    if why is not None:
        log.warning(f"{cell.title} failed: {why}")
    return why is None


def answers(study: Study, encoder: str, train: str, test: str) -> Sequence[OutOfFold] | str:
    """Return the answers, seed by seed, of heads for a corpus; or the sentence that says why there are none."""
    cell = Cell("train" if train == test else "answer", encoder, train)
    if (why := sentence(study, cell)) is not None and not is_done(study, cell):
        return why
    same = train == test
    folder = run_folder(study, encoder, train) if same else answer_folder(study, encoder, train, test)
    if not (folder / "report.json").is_file():
        return "not done yet"
    return read_seeds(folder / OOF)
