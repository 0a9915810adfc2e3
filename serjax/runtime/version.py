"""Version of serjax, which the build reads from here too."""

__version__ = "0.1.0"
