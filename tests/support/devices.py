"""Environments of processes that have several devices, which are threads of this machine's CPU."""

import os


def environment(count):
    """Return this process's environment, with so many devices and programs that compile fast."""
    return os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
