"""Processes that are forked from one that has imported what they need, once for the whole run; holds no test."""

from __future__ import annotations

import multiprocessing
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext


@cache
def forked() -> ForkServerContext:
    """The context of such processes, whose origin runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distributed", "torch._dynamo", "unisono.training.fit", "unisono.cluster.tasks"])
    forkserver.ensure_running()
    return context
