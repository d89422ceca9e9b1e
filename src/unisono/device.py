"""The device and the threads that a fit runs on; a device that is missing is an error, never replaced in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from unisono.messages import bad_input


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU; any other name is used as given.

    Raises:
        BadInput: E052 the device asked for is not there.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise bad_input("E052", "device", f"{name!r} cannot be used: {reason}.", 'use "auto" or "cpu"') from error
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for the linear algebra of numpy and scipy, while it lasts.

    The products of a training step are too small to be divided: two threads took 1.6 times the CPU time of one and
    nine tenths of its wall time; those of the closed-form parts took 1.6 times the CPU time and no less wall time. And
    so the weights do not depend on how many cores a machine has.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
