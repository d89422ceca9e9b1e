"""A model's way to the hub and back, of which only the files of a model folder are read; looks into none of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.hub.address import HubAddress
from unisono.io.documents import shown_text
from unisono.io.manifest import verify_manifest
from unisono.io.write import MANIFEST, write_folder_atomically
from unisono.messages import BadInput, Finding, bad_input

if TYPE_CHECKING:
    from types import ModuleType

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo

CARD = "README.md"
"""What the hub shows of a model; no file of a model folder, and never read."""
MAX_BYTES = 2**33
"""Of all files of a model."""
_OF_THE_ORIGIN = {"E047", "E049", "E054"}
"""Codes whose remedy for a folder is to copy it again."""
_LOG_IN = "log in: hf auth login, or set HF_TOKEN"


@dataclass(frozen=True)
class Fetched:
    """A model folder that was fetched and is as its manifest says.

    Attributes:
        folder: where it lies.
        address: with the commit.
    """

    folder: Path
    address: HubAddress


@contextmanager
def fetched(address: HubAddress, files: Sequence[str]) -> Iterator[Fetched]:
    """The folder of a model on the hub, kept by commit among the assets of `huggingface_hub`.

    A commit that is there is not asked for again. What the manifest, or the reading within this context, refuses is
    removed, and the refusal names the address.

    Args:
        address: what to fetch; the commit of its revision is looked up.
        files: names of a model folder's files but the manifest; no other file is fetched.

    Raises:
        BadInput: E063 huggingface_hub is not installed, E094 no such model or revision, or a private one, E095 the hub
            cannot be reached, E096 it refused, E097 the files are too large, E049 a file is missing or damaged.
    """
    hub = _package()
    kept = hub.cached_assets_path("unisono", namespace="models", subfolder=address.repository)
    exact = address if address.is_pinned and (kept / str(address.revision)).is_dir() else None
    if exact is None:
        with _told(address, _way_out(kept, address)):
            info = _api(hub).model_info(address.repository, revision=address.revision, files_metadata=True)
        exact = address.at(str(info.sha))
        _require_files(exact, info, (*files, MANIFEST))
    folder = kept / str(exact.revision)
    try:
        if not folder.is_dir():
            with _told(exact):
                write_folder_atomically(folder, lambda place: _fetch(hub, exact, (*files, MANIFEST), place), force=True)
        yield Fetched(folder, exact)
    except BadInput as error:
        if any(found.code in _OF_THE_ORIGIN for found in error.findings):
            shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(_of_address(found, exact) for found in error.findings) from error


def push(
    folder: Path,
    address: HubAddress,
    *,
    commit_message: str,
    private: bool | None,
    token: str | None,
) -> HubAddress:
    """Commit the files of a folder to a model on the hub, which is made where there is none; the address of the commit.

    Args:
        folder: a model folder with a card next to its files.
        address: its revision is a branch, made from `main` where there is none.
        commit_message: first line of the commit's message.
        private: whether a model that is made is shown to its owner alone; None as the owner's account has it.
        token: of the hub; None for the one that is logged in.

    Raises:
        BadInput: E063, E094 to E096, see `fetched`; E097 the files are too large.
    """
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > MAX_BYTES:
        raise _too_large(address, size)
    hub = _package()
    api = _api(hub, token)
    with _told(address), _without_bars(hub):
        api.create_repo(address.repository, private=private, exist_ok=True)
        if address.revision is not None:
            api.create_branch(address.repository, branch=address.revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=address.repository,
            folder_path=folder,
            revision=address.revision,
            commit_message=commit_message,
        )
    return address.at(commit.oid)


def _package() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        what = "huggingface_hub, which models on the hub need, is not installed."
        raise bad_input("E063", "hub", what, 'pip install "unisono[hub]"') from error
    return huggingface_hub


def _api(hub: ModuleType, token: str | None = None) -> HfApi:
    api: HfApi = hub.HfApi(token=token, library_name="unisono", library_version=version("unisono"))
    return api


@contextmanager
def _without_bars(hub: ModuleType) -> Iterator[None]:
    """Within this, no bar of the client is drawn, which it does where nobody looks, too."""
    is_drawn = not hub.utils.are_progress_bars_disabled()
    if is_drawn:
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        if is_drawn:
            hub.utils.enable_progress_bars()


def _fetch(hub: ModuleType, address: HubAddress, names: Sequence[str], place: Path) -> None:
    """Fetch the files of a commit into a folder, and verify them."""
    api = _api(hub)
    with _without_bars(hub):
        for name in names:
            api.hf_hub_download(address.repository, name, revision=address.revision, local_dir=place)
    shutil.rmtree(place / ".cache", ignore_errors=True)
    verify_manifest(place)


def _require_files(address: HubAddress, info: ModelInfo, names: Sequence[str]) -> None:
    """Refuse a model that lacks a file or has too large ones, before any is fetched."""
    sizes: dict[str, Any] = {file.rfilename: file.size for file in info.siblings or ()}
    missing = [name for name in names if name not in sizes]
    if missing:
        what = f"has no {missing[0]}: no model of Unisono."
        raise bad_input("E049", str(address), what, "name a model that push_to_hub() wrote")
    size = sum(sizes[name] or 0 for name in names)
    if size > MAX_BYTES:
        raise _too_large(address, size)


def _too_large(address: HubAddress, size: int) -> BadInput:
    what = f"files of {size / 2**30:,.1f} GiB, allowed {MAX_BYTES / 2**30:,.0f} GiB."
    return bad_input("E097", str(address), what, "have the model pushed with compact=True, or with fewer features")


def _way_out(kept: Path, address: HubAddress) -> str:
    """What can be done without the hub: the commit of the model that was fetched last, if any was."""
    commits = sorted((place for place in kept.iterdir() if place.is_dir()), key=lambda place: place.stat().st_mtime)
    here = [commit for commit in (address.at(place.name) for place in commits) if commit.is_pinned]
    return f"check the network, or take what was fetched before: {here[-1]}" if here else "check the network"


@contextmanager
def _told(address: HubAddress, way_out: str = "check the network") -> Iterator[None]:
    """Within this, what the hub or its client raises becomes one line; `way_out` helps where it cannot be reached."""
    from huggingface_hub import errors

    any_of_client: type[Exception] = errors.HfHubHTTPError.__bases__[0]  # under one name in every version of it
    where = str(address)
    try:
        yield
    except errors.RevisionNotFoundError as error:
        remedy = f"name one that is there, or none for the newest: hf://{address.repository}"
        raise bad_input("E094", where, f"has no revision {address.revision or 'main'}.", remedy) from error
    except errors.GatedRepoError as error:
        what = "is shown to those alone who accepted its terms on the hub."
        raise bad_input("E094", where, what, f"accept them on its page, then {_LOG_IN}") from error
    except errors.RepositoryNotFoundError as error:
        what = "no such model, or one that is not shown to you."
        raise bad_input("E094", where, what, f"check owner and name; of a private one {_LOG_IN}") from error
    except errors.OfflineModeIsEnabled as error:
        raise bad_input("E095", where, "HF_HUB_OFFLINE is set.", f"unset it; {way_out}") from error
    except errors.HfHubHTTPError as error:
        raise _refused(where, error) from error
    except (any_of_client, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        what = f"the hub cannot be reached ({type(error).__name__})."
        raise bad_input("E095", where, what, way_out) from error


def _refused(where: str, error: HfHubHTTPError) -> BadInput:
    """What the hub answered instead of what was asked for."""
    status = error.response.status_code
    if status in (401, 403):
        return bad_input("E096", where, f"you may not do that there ({status}).", f"with a token that may, {_LOG_IN}")
    said = shown_text(str(error.server_message or "no reason given"))
    return bad_input("E096", where, f"the hub answered {status}: {said}.", "try again later")


def _of_address(finding: Finding, address: HubAddress) -> Finding:
    """A finding about a fetched folder as one about where it came from."""
    if finding.code not in _OF_THE_ORIGIN:
        return finding
    return replace(finding, where=str(address), remedy="load it once more; if that is refused too, tell its owner")
