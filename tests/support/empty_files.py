"""Trees of empty files, which stand for recordings where nothing is decoded."""


def fill(root, *paths):
    """Make empty files below root, and return root."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root
