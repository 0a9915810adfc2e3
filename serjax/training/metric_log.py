"""The log of training: one JSON object an epoch and fold in metrics.jsonl, mirrored to TensorBoard.

metrics.jsonl is what counts: the report is made from it, and a resumed run rebuilds TensorBoard's events from it.
"""

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import parse_json, read_bytes

Row = dict[str, Any]
"""fold, epoch, (with a frozen encoder) seed and learning_rate, then values: train_loss, validation_macro_f1 ...; and
keep, where that is not the best epoch."""

_REMEDY = "--out"
_KEYS = ("fold", "seed", "learning_rate", "epoch", "keep")


class MetricLog:
    """Appends rows to metrics.jsonl and to TensorBoard's events, a sub-run a fold.

    Every row is on its way to the disk when `write` returns, so that a kill leaves a torn last line at most. The events
    are written here and now too: tensorboardX's SummaryWriter would leave that to a thread and a queue, which a
    Ctrl-C can lose or hang on.
    """

    def __init__(self, run_dir: Path, resume_after: int = 0, is_own: Callable[[Row], bool] = lambda row: True) -> None:
        """Open the log, dropping rows of epochs that will be trained again.

        Args:
            run_dir: the run folder, which exists.
            resume_after: the epoch that was restored, 0 for a fresh start.
            is_own: whether a row is of the folds that are trained; those of others stay.

        Raises:
            UserError: metrics.jsonl is damaged before its last line, or cannot be written.
        """
        self._path = run_dir / "metrics.jsonl"
        self._events = run_dir / "tensorboard"
        self._writers: dict[int, EventsWriter] = {}
        self._open_files = contextlib.ExitStack()
        kept = [row for row in read_history(run_dir) if row["epoch"] <= resume_after or not is_own(row)]
        write_text(self._path, "".join(map(_line, kept)))
        with disk_errors(run_dir, _REMEDY):
            if self._events.exists():
                shutil.rmtree(self._events)
            self._file = self._open_files.enter_context(self._path.open("a", encoding="utf-8"))
            self._mirror(kept)

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows; numpy and JAX scalars are fine, and a value that is not finite is stored as null.

        Raises:
            UserError: the disk is full, or the folder cannot be written to.
        """
        plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
        with disk_errors(self._path, _REMEDY):
            for row in plain:
                self._file.write(_line(row))
                self._file.flush()
            self._mirror(plain)

    def close(self) -> None:
        """Close all files."""
        # On a full disk closing fails too, since it tries once more to write what is left.
        with disk_errors(self._path, _REMEDY):
            self._open_files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mirror(self, rows: list[Row]) -> None:
        for row in rows:
            values = {_tag(key, row): value for key, value in row.items() if key not in _KEYS and value is not None}
            writer = self._writer(row["fold"])
            for tag, value in values.items():
                writer.write_event(Event(wall_time=time.time(), step=row["epoch"], summary=scalar(tag, value)))
        for writer in self._writers.values():
            writer.flush()

    def _writer(self, fold: int) -> EventsWriter:
        if fold not in self._writers:
            folder = self._events / f"fold_{fold}"
            folder.mkdir(parents=True)
            self._writers[fold] = EventsWriter(str(folder / "events"))
            self._open_files.callback(self._writers[fold].close)
        return self._writers[fold]


def write_history(run_dir: Path, rows: Sequence[Row]) -> None:
    """Write a log that is complete, and its TensorBoard events, to a folder that has none; the folder is made.

    Raises:
        UserError: the folder cannot be written.
    """
    write_text(run_dir / "metrics.jsonl", "".join(map(_line, rows)))
    MetricLog(run_dir, max(row["epoch"] for row in rows)).close()


def read_history(run_dir: Path) -> list[Row]:
    """Return the rows of a run's metrics.jsonl without a torn last line; none where there is no such file.

    Raises:
        UserError: a line before the last is not a JSON object with fold and epoch.
    """
    path = run_dir / "metrics.jsonl"
    if not path.exists():
        return []
    *lines, _torn = read_bytes(path, remedy=_AGAIN).decode(errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        row = parse_json(line, f"{path}, line {number}", remedy=_AGAIN)
        if not _fits(row):
            raise UserError(
                f"{path}, line {number}: not a JSON object with the numbers fold and epoch, and numbers beside them; "
                f"{_AGAIN}."
            )
        rows.append(row)
    return rows


_AGAIN = "delete this line, or train again with --overwrite"


def _fits(row: Any) -> bool:
    """Return whether a line is a row as `MetricLog` writes them; fold 0 stands for all."""
    if not isinstance(row, dict) or any(type(row.get(key)) is not int for key in ("fold", "epoch")):
        return False
    plain = all(value is None or isinstance(value, (str, int, float)) for value in row.values())
    finite = all(math.isfinite(value) for value in row.values() if isinstance(value, float))
    texts = all(key == "keep" for key, value in row.items() if isinstance(value, str))
    return plain and finite and texts and 0 <= row["fold"] < 10_000 and row["epoch"] >= 0


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    # JSON has no NaN; a loss that diverged is null.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _tag(key: str, row: Row) -> str:
    """Return TensorBoard's name: train_loss is train/loss, lr is train/lr; seed and learning rate come after it."""
    part, _, name = key.partition("_")
    tag = f"{part}/{name}" if part in ("train", "validation") and name else f"train/{key}"
    return "/".join([tag, *(f"{name}_{row[name]}" for name in ("seed", "learning_rate") if name in row)])
