"""Engines that do the cells of a study: one after the other here, as jobs of SLURM, or as tasks of Ray.

A job is `python -m serjax.study --cell ...` on a machine that shares the study's folder and serjax's environment.
"""

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from serjax.runs.study.cells import Cell, fail, forget, is_done, log_file, run_cell, sentence
from serjax.runs.study.jobs import run_job
from serjax.runs.study.settings import Study
from serjax.runtime.errors import MissingPackage, UserError

log = logging.getLogger(__name__)

Engine = Literal["here", "slurm", "ray"]
POLL = 2.0
"""Seconds between two looks at jobs that are not done."""


def run_cells(study: Study, cells: Sequence[Cell], command: str, engine: Engine, resources: Mapping[str, Any]) -> None:
    """Do cells; one that fails leaves a sentence, and the others go on.

    Args:
        study: its settings, classes included.
        cells: whose results are not there.
        command: by which the study was asked for.
        engine: where.
        resources: of a job, by the engine's own names.

    Raises:
        UserError: the engine cannot be used.
    """
    if not cells:
        return
    if engine == "here":
        began = time.monotonic()
        for number, cell in enumerate(cells):
            left = _about((time.monotonic() - began) / number * (len(cells) - number)) if number else ""
            log.info(f"Cell {number + 1} of {len(cells)}: {cell.title}{left}.")
            run_cell(study, cell, command)
        return
    submit = _slurm if engine == "slurm" else _ray
    began, count = time.monotonic(), 0
    with contextlib.closing(submit(study, cells, resources)) as ended:
        for cell, why in ended:
            count += 1
            _settle(study, cell, why)
            took, told = time.monotonic() - began, sentence(study, cell)
            left = _about(took / count * (len(cells) - count)) if count < len(cells) else ""
            log.info(f"{count} of {len(cells)} cells: {cell.title} {f'failed: {told}' if told else 'is done'}{left}.")


def _about(seconds: float) -> str:
    """Return the time that is left, as an end of a sentence."""
    return f"; about {seconds / 60:.0f} min left" if seconds >= 90 else f"; about {seconds:.0f} s left"


def _settle(study: Study, cell: Cell, why: str | None) -> None:
    """Note that a job ended without results, where the command that it ran could not."""
    if not is_done(study, cell) and sentence(study, cell) is None:
        fail(study, cell, f"the job ended without results{f' ({why})' if why else ''}; see {log_file(study, cell)}")


def _command(study: Study, cell: Cell) -> list[str]:
    return [sys.executable, "-m", "serjax.study", "--cell", str(study.folder), *cell]


def _slurm(study: Study, cells: Sequence[Cell], resources: Mapping[str, Any]) -> Generator[tuple[Cell, str | None]]:
    """Submit a job a cell with submitit, and yield each that has ended; where the study stops, cancel the others."""
    try:
        import submitit
    except ImportError:
        raise MissingPackage("submitit", "slurm", "Jobs of SLURM are submitted") from None
    missing = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if missing:
        raise UserError(f"--on slurm: there is no {missing[0]} on this machine; start the study where SLURM is.")
    executor = submitit.AutoExecutor(folder=study.folder / "slurm", cluster="slurm")
    _update(executor, {"name": study.name, "timeout_min": 24 * 60, **resources})
    _clear(study, cells)
    waiting: list[tuple[Cell, Any]] = []
    try:
        for cell in cells:
            waiting.append((cell, _submitted(executor, _command(study, cell), str(log_file(study, cell)))))
        log.info(f"{len(waiting)} jobs are submitted, as {', '.join(job.job_id for _, job in waiting[:8])} and so on.")
        while waiting:
            for entry in [entry for entry in waiting if entry[1].done(force_check=False)]:
                waiting.remove(entry)
                yield entry[0], _outcome(entry[1].result)
            if waiting:
                time.sleep(POLL)
    finally:
        for _, job in waiting:
            job.cancel(check=False)


def _submitted(executor: Any, *arguments: Any) -> Any:
    """Return the job that was submitted.

    Raises:
        UserError: SLURM refused it.
    """
    try:
        return executor.submit(run_job, *arguments)
    except Exception as error:
        if type(error).__name__ != "FailedJobError":
            raise
        said = " ".join(str(error).replace("sbatch: error:", "").split())
        raise UserError(f"--on slurm: sbatch refused the job ({said}); correct the resources in --job.") from None


def _update(executor: Any, resources: Mapping[str, Any]) -> None:
    try:
        executor.update_parameters(**resources)
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"--job: submitit does not take these ({' '.join(str(error).split())}).") from None


def _ray(study: Study, cells: Sequence[Cell], resources: Mapping[str, Any]) -> Generator[tuple[Cell, str | None]]:
    """Start a task a cell with Ray, and yield each that has ended; where the study stops, cancel the others."""
    try:
        import ray
    except ImportError:
        raise MissingPackage("Ray", "ray", "Tasks of a cluster are started") from None
    ours = not ray.is_initialized()
    if ours:
        # A cluster that RAY_ADDRESS names or that runs here; else one of this machine, for as long as the study.
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    _clear(study, cells)
    waiting: dict[Any, Cell] = {}
    try:
        try:
            task = ray.remote(run_job).options(max_retries=0, **resources)
        except (TypeError, ValueError) as error:
            raise UserError(f"--job: Ray does not take these ({' '.join(str(error).split())}).") from None
        waiting = {task.remote(_command(study, cell), str(log_file(study, cell))): cell for cell in cells}
        log.info(f"{len(waiting)} tasks wait for Ray, which has {_resources(ray.cluster_resources())}.")
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1, timeout=POLL)
            for reference in ended:
                yield waiting.pop(reference), _outcome(partial(ray.get, reference))
    finally:
        for reference in waiting:
            ray.cancel(reference, force=False)
        if ours:
            ray.shutdown()


def _resources(found: Mapping[str, float]) -> str:
    return ", ".join(f"{found[name]:g} {name}" for name in ("CPU", "GPU") if name in found) or "nothing"


def _clear(study: Study, cells: Sequence[Cell]) -> None:
    """Remove the sentences of an earlier call, so that those which are read come from these jobs."""
    for cell in cells:
        forget(study, cell)


def _outcome(result: Callable[[], int]) -> str | None:
    """Return what is to be said of a job that has ended; None where its command came to an end."""
    try:
        status = result()
    except Exception as error:  # of many kinds: killed, out of memory, a machine that is gone
        return " ".join(str(error).split())[:300] or type(error).__name__
    return None if status == 0 else f"exit status {status}"
