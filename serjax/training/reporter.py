"""Progress of training: a bar while an epoch runs, a line when it ends."""

import logging
import time
from collections.abc import Callable, Sequence
from statistics import fmean
from types import TracebackType
from typing import Self

from serjax.evaluation.history import VALIDATION_SCORE, validation_score
from serjax.runtime.progress import progress_bar
from serjax.training.metric_log import MetricLog, Row

log = logging.getLogger(__name__)


class Reporter:
    """Logs a line of each epoch, and appends its rows to the metric log of their run."""

    def __init__(self, metrics: Sequence[MetricLog], epochs: int) -> None:
        """Show nothing yet; `metrics` has a log a run, `epochs` is how many there are at most."""
        self._metrics, self._epochs = metrics, epochs
        self._bar = progress_bar("clips")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        for metrics in self._metrics:
            metrics.close()

    def begin(self, epoch: int, clips: int) -> Callable[[int], None]:
        """Start an epoch's bar; return what moves it."""
        self._began, self._clips = time.monotonic(), clips
        task = self._bar.add_task(f"epoch {epoch}/{self._epochs}", total=clips, rate="")
        self._task = task
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - self._began, 1e-9)
            self._bar.update(task, advance=count, rate=f"{rate:.0f} clips/s")

        return tick

    def end(self, epoch: int, rows: list[tuple[int, Row]], notes: Sequence[str] = ()) -> None:
        """Log the epoch's rows and print their means, and what there is to note."""
        for run, metrics in enumerate(self._metrics):
            metrics.write(row for number, row in rows if number == run)
        self._bar.remove_task(self._task)
        for note in notes:
            log.warning(note)
        if not rows:
            return
        told = f"loss {fmean(row['train_loss'] for _, row in rows):.3f}"
        if "validation_loss" in rows[0][1]:
            told += f"  validation loss {fmean(row['validation_loss'] for _, row in rows):.3f}"
        name = "validation score" if VALIDATION_SCORE in rows[0][1] else "macro-F1"
        score = [validation_score(row) for _, row in rows]
        seconds = time.monotonic() - self._began
        log.info(
            f"epoch {epoch:3}/{self._epochs}  {told}  {name} {fmean(score):.3f} "
            f"({min(score):.3f} to {max(score):.3f})  {len(rows)} training  {self._clips / seconds:.0f} clips/s",
        )
