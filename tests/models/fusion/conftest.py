import pytest


@pytest.fixture(scope="session")
def is_unused():
    """A function that tells which parameters nothing reads: the original's files and counts have them."""

    def unused(path, config):
        conv = config.audio_path == "conv"
        match config.kind, path:
            case "late", _:
                return False
            case (_, ("video", "fc", *_) | ("audio", "head", *_) | ("audio", "network", "fc2", *_)):
                return True
            case "xattn", ("audio", "network", *_):
                return conv
            case "xattn", ("fusion", "audio_conv" | "audio_in", *_):
                return not conv
        return False

    return unused
