"""A run on a Dask cluster: its client, its folder, and all tasks over the rows of a file; knows no task."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.cluster.tasks import MODEL
from unisono.inference.fitted_model import FittedModel
from unisono.io.regions import ROWS_OF_A_REGION
from unisono.messages import bad_input
from unisono.model import store

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def connected(scheduler: str | None = None, n_workers: int | None = None) -> Iterator[Client]:
    """A client of the scheduler at an address, or named in its file; or of as many new processes of this machine.

    Raises:
        BadInput: E063 dask.distributed is not installed, E053 both or neither are given, or the scheduler is not there.

    Examples:
        Four processes of this machine; or the workers of a scheduler that wrote its address into a file:

        >>> import unisono as un
        >>> with un.cluster.connected(n_workers=4) as client:  # doctest: +SKIP
        ...     print(client)
        >>> with un.cluster.connected("scheduler.json") as client:  # doctest: +SKIP
        ...     print(client)
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        what = "dask.distributed, which several workers need, is not installed."
        raise bad_input("E063", "cluster", what, 'pip install "unisono[cluster]"') from error
    if (scheduler is None) == (n_workers is None):
        raise bad_input("E053", "cluster", "needs a scheduler or a number of workers.", "give one of the two")
    if scheduler is None:
        with (
            LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    known = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**known)
    except (OSError, ValueError) as error:
        what = f"no scheduler at {scheduler} ({type(error).__name__})."
        raise bad_input("E053", "cluster", what, "start one: dask scheduler, and give its address") from error
    with client:
        yield client


def done(client: Client, task: Callable[..., Any], n_rows: int, *arguments: Any) -> list[Any]:
    """The results of a task over all rows, in order; a task whose worker is lost is done by another one."""
    from distributed import as_completed

    starts = range(0, n_rows, ROWS_OF_A_REGION)
    ends = (min(start + ROWS_OF_A_REGION, n_rows) for start in starts)
    futures = {
        client.submit(task, *arguments, start, stop, pure=False): start
        for start, stop in zip(starts, ends, strict=True)
    }
    found = {}
    try:
        for future in as_completed(list(futures)):
            found[futures[future]] = future.result()
    except BaseException:
        client.cancel(list(futures))
        raise
    return [found[start] for start in starts]


@contextmanager
def working(place: Path, fitted: FittedModel) -> Iterator[Path]:
    """A folder next to the output for the time of a run, with the model; its name is used once."""
    work = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}")
    work.mkdir()
    try:
        store.save(fitted, work / MODEL)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
