"""Fixtures of the server's tests."""

import pytest


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run folder of two folds that hear 0.5 s."""
    from saved_runs import write_run

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    write_run(folder)
    return folder


@pytest.fixture(scope="session")
def service_of(run_folder):
    """A function that makes a service of the run folder."""
    from served import make_service

    return lambda **settings: make_service(run_folder, **settings)


@pytest.fixture(scope="module")
def asked(service_of):
    """A client of a server that is ready."""
    from served import client

    with client(service_of()) as found:
        yield found
