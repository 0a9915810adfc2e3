"""Processes of one run on one or several machines: how each finds the others, and a first meeting of all.

JAX's own runtime (`jax.distributed`) connects them afterwards. It ends the process where one is missing, and cannot say
which; the meeting can.
"""

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serjax.runtime.constraints import AtLeastOne, Count, Positive
from serjax.runtime.errors import UserError, one_of


@dataclass(frozen=True)
class Hosts:
    """Processes that train one run together; under SLURM, Open MPI and on TPU pods they are found by themselves."""

    coordinator: str | None = None
    """HOST:PORT where the other processes reach process 0; any free port will do."""
    count: AtLeastOne | None = None
    """Number of processes."""
    index: Count | None = None
    """Number of this process, from 0."""
    patience: Positive = 300.0
    """Seconds to wait for all processes to come."""


@dataclass(frozen=True)
class Place:
    """Place of this process among all.

    Attributes:
        coordinator: HOST:PORT of process 0; None where JAX finds all of this itself.
        count: number of processes.
        index: number of this one.
        local_devices: GPUs, of those it can see, that are its own; None: all.
    """

    coordinator: str | None = None
    count: int | None = None
    index: int | None = None
    local_devices: tuple[int, ...] | None = None


def find_place(hosts: Hosts, environ: Mapping[str, str]) -> Place | None:
    """Return this process's place among several, from the options or from a scheduler's environment; None: it is alone.

    Args:
        hosts: options.
        environ: environment variables.

    Raises:
        UserError: options that do not fit each other, or an environment that makes no sense.
    """
    given = {
        f"--hosts.{name}": getattr(hosts, name)
        for name in ("coordinator", "count", "index")
        if getattr(hosts, name) is not None
    }
    if given:
        return _asked(hosts, given)
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _slurm(environ)
    if int(environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1 or "," in environ.get("TPU_WORKER_HOSTNAMES", ""):
        return Place()
    return Place() if tpu_hosts() > 1 else None


def _asked(hosts: Hosts, given: Mapping[str, Any]) -> Place | None:
    if given == {"--hosts.count": 1}:
        return None
    missing = [name for name in ("--hosts.coordinator", "--hosts.count", "--hosts.index") if name not in given]
    if missing:
        raise UserError(
            f"{' and '.join(given)} given without {' and '.join(missing)}; several processes need all three, as in "
            "--hosts.coordinator node1:4000 --hosts.count 2 --hosts.index 0."
        )
    assert hosts.coordinator is not None
    assert hosts.count is not None
    assert hosts.index is not None
    host, _, port = hosts.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UserError(f"--hosts.coordinator {hosts.coordinator}: it must be HOST:PORT, such as node1:4000.")
    if hosts.index >= hosts.count:
        raise UserError(
            f"--hosts.index {hosts.index}: processes are numbered from 0 to {hosts.count - 1} (--hosts.count "
            f"{hosts.count})."
        )
    return Place(hosts.coordinator, hosts.count, hosts.index) if hosts.count > 1 else None


def _slurm(environ: Mapping[str, str]) -> Place:
    """Return the place of a task that srun started; the port follows from the job and the step."""
    try:
        job, step = int(environ["SLURM_JOB_ID"]), int(environ["SLURM_STEP_ID"])
        count, index = int(environ["SLURM_STEP_NUM_TASKS"]), int(environ["SLURM_PROCID"])
        node = first_node(environ["SLURM_STEP_NODELIST"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f"SLURM's environment of several tasks is not complete ({error}); start them with srun, or give "
            "--hosts.coordinator, --hosts.count and --hosts.index."
        ) from None
    # The upper part of the range of ports that systems hand out for a while, spread over jobs and steps.
    port = 61_440 + (job * 31 + step) % 4096
    return Place(f"{node}:{port}", count, index, slurm_devices(environ))


def first_node(nodes: str) -> str:
    """Return the first of a list of nodes as SLURM writes it: `node001` of `node[001-004,7],other`."""
    prefix, bracket, rest = nodes.partition("[")
    if not bracket or "," in prefix:
        return prefix.partition(",")[0]
    return prefix + rest.replace("-", ",").replace("]", ",").partition(",")[0]


def array_task(environ: Mapping[str, str]) -> int | None:
    """Return the number of this task of a SLURM array; None: it is none."""
    number = environ.get("SLURM_ARRAY_TASK_ID", "")
    return int(number) if number.isdecimal() else None


def slurm_devices(environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return which of the GPUs that a task can see are its own; None: all, or none of them is a GPU.

    JAX takes GPU number SLURM_LOCALID; a task that sees only its own (--gpus-per-task) has it as number 0, and one task
    on a node may have several.

    Raises:
        UserError: the tasks of a node cannot share its GPUs evenly.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES", environ.get("SLURM_STEP_GPUS", ""))
    gpus = len([device for device in visible.split(",") if device])
    tasks = _tasks_of_node(environ.get("SLURM_TASKS_PER_NODE", "1"), int(environ.get("SLURM_NODEID", "0")))
    if gpus <= 1 or tasks == 1:
        return None
    if environ.get("SLURM_GPUS_PER_TASK") or environ.get("SLURM_TRES_PER_TASK"):
        return None  # SLURM has bound them already
    if gpus % tasks:
        raise UserError(
            f"SLURM runs {tasks} tasks on a node of {gpus} GPUs, which cannot share them evenly; give srun "
            "--gpus-per-task, or a number of tasks that divides them."
        )
    own, local = gpus // tasks, int(environ["SLURM_LOCALID"])
    return tuple(range(local * own, (local + 1) * own))


def tpu_hosts() -> int:
    """Return the number of hosts of the TPU slices that this machine's TPU is part of, 1 where it has none.

    JAX knows it from Google's metadata server: a TPU VM has nothing of it in its environment.
    """
    # JAX has no public name for it. Where there is no TPU, nobody is asked.
    from jax._src.clusters.cloud_tpu_cluster import GceTpuCluster, GkeTpuCluster

    for cluster in (GkeTpuCluster, GceTpuCluster):
        if cluster.is_env_present():
            return cluster.get_process_count()
    return 1


def _tasks_of_node(counts: str, node: int) -> int:
    """Return the tasks of a node of a step, from counts as SLURM writes them: `5,4(x2)` is 5, 4 and 4."""
    every: list[int] = []
    for part in counts.split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        every += [int(tasks)] * int(times or 1)
    return every[min(node, len(every) - 1)]


def meet(place: Place, patience: float) -> None:
    """Wait until every process has come to the coordinator's port, so that JAX's runtime finds them all.

    Args:
        place: of this process; its coordinator is known.
        patience: seconds to wait.

    Raises:
        UserError: names the processes that did not come, an index that came twice, another number of processes, or a
            coordinator that cannot be reached.
    """
    assert place.coordinator is not None
    host, _, port = place.coordinator.rpartition(":")
    until = time.monotonic() + patience
    if place.index == 0:
        _gather(place, int(port), until, patience)
    else:
        _report(place, (host.strip("[]"), int(port)), until, patience)


def _gather(place: Place, port: int, until: float, patience: float) -> None:
    """Wait, as process 0, for all others, and tell them to go on or why not."""
    assert place.count is not None
    came: dict[int, tuple[socket.socket, str]] = {}
    with contextlib.ExitStack() as open_sockets:
        try:
            listener = open_sockets.enter_context(_listener(port))
        except OSError as error:
            raise UserError(
                f"--hosts.coordinator {place.coordinator}: process 0 cannot listen on port {port} ({error.strerror}); "
                "another run uses it, or two processes have --hosts.index 0; give another port or index."
            ) from None
        trouble = None
        while len(came) < place.count - 1 and trouble is None:
            listener.settimeout(max(until - time.monotonic(), 0.001))
            try:
                peer, address = listener.accept()
            except TimeoutError:
                missing = [str(i) for i in range(1, place.count) if i not in came]
                trouble = (
                    f"process{'es' * (len(missing) > 1)} {one_of(missing)} of {place.count} did not come to "
                    f"{place.coordinator} within {patience:g} s (--hosts.patience); see whether the command runs there "
                    "and can reach this machine."
                )
                break
            open_sockets.enter_context(peer)
            said = _hear(peer)
            if said is None:
                continue  # no process of serjax
            index, count = said
            where = f"{address[0]}:{address[1]}"
            if count != place.count:
                trouble = (
                    f"process {index} ({where}) was started with --hosts.count {count}, process 0 with {place.count}; "
                    "give all processes the same."
                )
            elif index in came:
                trouble = (
                    f"two processes have --hosts.index {index}, at {came[index][1]} and {where}; give each its own, "
                    f"from 0 to {place.count - 1}."
                )
            came.setdefault(index, (peer, where))
            if trouble is not None:
                _say(peer, trouble)
        for peer, _ in came.values():
            _say(peer, trouble or "")
        for peer, _ in came.values():
            # Whoever closes first keeps the port busy for a while: not this side, which opens it again.
            peer.settimeout(5)
            with contextlib.suppress(OSError):
                peer.recv(1)
    if trouble is not None:
        raise UserError(trouble)


def _listener(port: int) -> socket.socket:
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    return socket.create_server(
        ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6, backlog=1024, reuse_port=False
    )


def _report(place: Place, address: tuple[str, int], until: float, patience: float) -> None:
    """Come, as another process, to process 0, and do as it says."""
    reason: Exception = TimeoutError("no answer")
    while (left := until - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, timeout=left) as peer:
                peer.sendall(json.dumps([place.index, place.count]).encode() + b"\n")
                # A little longer than process 0 waits, which then says who is missing.
                peer.settimeout(left + 5)
                answer = json.loads(_line(peer))
            if answer:
                raise UserError(f"process 0 says: {answer}")
            return
        except (OSError, ValueError) as error:
            reason = error
            time.sleep(0.2)
    raise UserError(
        f"--hosts.coordinator {place.coordinator}: process {place.index} did not reach process 0 within {patience:g} s "
        f"({getattr(reason, 'strerror', None) or reason}); see whether process 0 runs there and its port is open."
    )


def _hear(peer: socket.socket) -> tuple[int, int] | None:
    peer.settimeout(5)
    try:
        index, count = json.loads(_line(peer))
        return int(index), int(count)
    except (OSError, ValueError, TypeError):
        return None


def _say(peer: socket.socket, sentence: str) -> None:
    with contextlib.suppress(OSError):
        peer.sendall(json.dumps(sentence).encode() + b"\n")


def _line(peer: socket.socket) -> bytes:
    """Return what was sent up to the end of a line."""
    data = b""
    while not data.endswith(b"\n"):
        more = peer.recv(4096)
        if not more or len(data) > 65_536:
            raise ValueError("no answer")
        data += more
    return data
