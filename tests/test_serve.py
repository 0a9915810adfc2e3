"""The command line of the server: its options reach the service, and mistakes get one sentence."""

import pytest
from saved_runs import write_run

from serjax.inference.server.run import bind
from serjax.runtime.errors import UserError
from serjax.serve import main


@pytest.fixture
def served(monkeypatch):
    found = []
    monkeypatch.setattr(
        "serjax.inference.server.run.serve", lambda service, listening: found.append((service, listening.getsockname()))
    )
    return found


def test_options_reach_the_service(tmp_path, served, monkeypatch):
    monkeypatch.setenv("SERJAX_API_KEY", "from the environment")
    write_run(tmp_path / "run")
    (tmp_path / "run" / "README.md").write_text("# Card")
    options = [
        "--port",
        "0",
        "--max-megabytes",
        "2",
        "--max-seconds",
        "9",
        "--batch",
        "4",
        "--memory",
        "30",
        "--queue",
        "5",
    ]
    assert main([str(tmp_path / "run"), *options, "--cors", "https://a", "https://b", "--decoders", "3"]) == 0
    ((service, address),) = served
    settings, limits = service.settings, service.limits
    assert address[0] == "127.0.0.1"
    assert (settings.name, settings.card, settings.api_key) == ("run", "# Card", "from the environment")
    assert (settings.cors, settings.decoders, settings.warm_up) == (("https://a", "https://b"), 3, True)
    assert (limits.max_bytes, limits.max_seconds, limits.batch) == (2 << 20, 9, 4)
    assert (limits.memory, limits.queue) == (30 << 20, 5)


def test_a_folder_that_holds_no_model_gets_a_sentence(tmp_path, served):
    with pytest.raises(UserError, match="it holds no experiment"):
        main([str(tmp_path), "--port", "0"])
    assert served == []


def test_a_port_in_use_gets_a_sentence(tmp_path, served):
    with bind("127.0.0.1", 0) as taken, pytest.raises(UserError, match="give another --port"):
        main([str(tmp_path), "--port", f"{taken.getsockname()[1]}"])


@pytest.mark.parametrize("option", ["--max-seconds", "--queue", "--decoders", "--memory"])
def test_limits_are_positive(tmp_path, served, option):
    with pytest.raises(UserError, match=f"{option}: got 0; give more than 0"):
        main([str(tmp_path), option, "0"])


def test_whole_clips_are_not_served(tmp_path, served):
    write_run(tmp_path / "run")
    with pytest.raises(UserError, match="whole"):
        main([str(tmp_path / "run"), "--port", "0", "--whole"])
