"""Places of processes by options and by schedulers' environments, and the meeting that names who is missing."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from jax._src.clusters import cloud_tpu_cluster

from serjax.runtime.errors import UserError
from serjax.runtime.hosts import Hosts, Place, find_place, first_node, meet, slurm_devices

SRUN = {
    "SLURM_JOB_ID": "7001",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_TASKS_PER_NODE": "8(x2)",
}


def test_a_process_without_options_and_scheduler_is_alone():
    assert find_place(Hosts(), {}) is None
    assert find_place(Hosts(count=1), {}) is None
    # A batch script, and an array's task, run outside of srun.
    assert find_place(Hosts(), {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"}) is None


def test_options_come_before_the_environment():
    place = find_place(Hosts("node1:4000", 2, 1), SRUN)
    assert place == Place("node1:4000", 2, 1)


def test_srun_gives_the_place_and_one_port_for_all_tasks():
    places = [find_place(Hosts(), SRUN | {"SLURM_PROCID": str(i)}) for i in range(16)]
    assert [place.index for place in places] == list(range(16))
    assert {place.count for place in places} == {16}
    (coordinator,) = {place.coordinator for place in places}
    host, port = coordinator.split(":")
    assert host == "gpu07"
    assert 61_440 <= int(port) < 65_536
    assert find_place(Hosts(), SRUN | {"SLURM_STEP_ID": "1"}).coordinator != coordinator


def test_pods_and_mpi_are_left_to_jax():
    assert find_place(Hosts(), {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}) == Place()
    assert find_place(Hosts(), {"TPU_WORKER_HOSTNAMES": "localhost"}) is None
    assert find_place(Hosts(), {"OMPI_COMM_WORLD_SIZE": "4"}) == Place()


METADATA = {
    "agent-worker-number": "1",
    "worker-network-endpoints": "unknown:unknown:10.0.0.1,unknown:unknown:10.0.0.2",
    "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-16'\nWORKER_ID: '1'",
}
"""Answers of Google's metadata server to a host of a TPU slice of two hosts."""


@pytest.mark.parametrize(
    ("endpoints", "place"), [(METADATA["worker-network-endpoints"], Place()), ("unknown:unknown:10.0.0.1", None)]
)
def test_a_tpu_vm_has_its_place_from_the_metadata_server(endpoints, place, monkeypatch):
    answers = METADATA | {"worker-network-endpoints": endpoints}
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", lambda key: (answers[key], 200))
    for name in ("TPU_SKIP_MDS_QUERY", "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES", "MEGASCALE_NUM_SLICES"):
        monkeypatch.delenv(name, raising=False)
    assert find_place(Hosts(), {}) == place


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node001", "node001"),
        ("node001,host2", "node001"),
        ("node[001-015],host2", "node001"),
        ("node[003,007-015]", "node003"),
        ("a-b[7]", "a-b7"),
    ],
)
def test_first_node_of_slurms_lists(nodes, first):
    assert first_node(nodes) == first


def test_tasks_of_a_node_share_its_gpus():
    node = {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7", "SLURM_TASKS_PER_NODE": "8(x2)", "SLURM_LOCALID": "3"}
    assert slurm_devices(node) == (3,)
    assert slurm_devices(node | {"SLURM_TASKS_PER_NODE": "4", "SLURM_LOCALID": "1"}) == (2, 3)
    # Nodes may have different numbers of tasks.
    uneven = node | {"SLURM_TASKS_PER_NODE": "8,4(x2)", "SLURM_LOCALID": "1"}
    assert [slurm_devices(uneven | {"SLURM_NODEID": str(i)}) for i in range(3)] == [(1,), (2, 3), (2, 3)]
    # One task has all of them, a task whose GPU SLURM has bound has that, and a CPU has none.
    assert slurm_devices(node | {"SLURM_TASKS_PER_NODE": "1(x2)"}) is None
    assert slurm_devices(node | {"CUDA_VISIBLE_DEVICES": "5"}) is None
    assert slurm_devices(node | {"SLURM_GPUS_PER_TASK": "1"}) is None
    assert slurm_devices({}) is None
    with pytest.raises(UserError, match="3 tasks on a node of 8 GPUs"):
        slurm_devices(node | {"SLURM_TASKS_PER_NODE": "3"})


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (Hosts(count=2), "--hosts.count given without --hosts.coordinator and --hosts.index"),
        (Hosts("node1:4000", 2), "given without --hosts.index"),
        (Hosts("node1", 2, 0), "must be HOST:PORT"),
        (Hosts("node1:port", 2, 0), "must be HOST:PORT"),
        (Hosts("node1:4000", 2, 2), "--hosts.index 2: processes are numbered from 0 to 1"),
    ],
)
def test_options_that_do_not_fit_get_a_sentence(hosts, message):
    with pytest.raises(UserError, match=message):
        find_place(hosts, {})


def test_an_incomplete_environment_of_slurm_gets_a_sentence():
    broken = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_NODELIST"}
    with pytest.raises(UserError, match=r"not complete \('SLURM_STEP_NODELIST'\); start them with srun"):
        find_place(Hosts(), broken)


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def meeting(indices, count, patience=10.0, counts=None):
    """Return what each process says at the end of a meeting: nothing, or its error."""
    coordinator = f"localhost:{free_port()}"

    def one(i, index):
        place = Place(coordinator, (counts or {}).get(i, count), index)
        try:
            meet(place, patience)
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(indices)) as pool:
        return list(pool.map(one, range(len(indices)), indices))


def test_a_meeting_of_all_ends_for_all():
    assert meeting(range(5), 5) == [None] * 5


def test_processes_that_do_not_come_are_named_to_all():
    found = meeting([0, 2], 4, patience=1.0)
    assert all("processes 1, 3 of 4 did not come to localhost:" in error for error in found)
    assert "within 1 s (--hosts.patience)" in found[0]
    assert found[1].startswith("process 0 says: ")


def test_an_index_that_comes_twice_is_named():
    found = meeting([0, 1, 1], 3)
    assert any("two processes have --hosts.index 1" in (error or "") for error in found)
    assert "two processes have --hosts.index 1" in found[0]


def test_two_processes_that_listen_on_a_port_are_told():
    found = meeting([0, 0], 2, patience=1.0)
    assert any("cannot listen on port" in error and "two processes have --hosts.index 0" in error for error in found)


def test_another_number_of_processes_is_named():
    found = meeting([0, 1], 2, counts={1: 3})
    assert "process 1 (" in found[0]
    assert "was started with --hosts.count 3, process 0 with 2" in found[0]


def test_a_coordinator_that_cannot_be_reached_is_named():
    (error,) = meeting([1], 2, patience=0.5)
    assert "process 1 did not reach process 0 within 0.5 s (Connection refused)" in error


def test_strangers_at_the_port_do_not_count():
    coordinator = f"localhost:{free_port()}"
    host, port = coordinator.split(":")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, Place(coordinator, 2, 0), 10.0)
        for _ in range(50):
            try:
                with socket.create_connection((host, int(port)), timeout=1) as stranger:
                    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                break
            except OSError:
                pass
        pool.submit(meet, Place(coordinator, 2, 1), 10.0).result()
        first.result()
