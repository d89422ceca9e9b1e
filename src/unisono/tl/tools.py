"""Predictions, matchings and embeddings written into obsm, obs and uns of a MuData; computes none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unisono.io.embeddings import EMBEDDING
from unisono.io.naming import called, kind_of
from unisono.io.tables import NOVELTY
from unisono.matching import Rule
from unisono.messages import bad_input
from unisono.model.unisono import Unisono

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def embed(mdata: MuData, model: Unisono, *, key_added: str = EMBEDDING) -> None:
    """Write the shared space into `obsm[key_added]` of each modality, and `obs["unisono_novelty"]`; see `embed`.

    Args:
        mdata: raw counts; changed.
        model: which knows a modality of it.
        key_added: of obsm.

    Raises:
        BadInput: as `Unisono.embed`.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> un.tl.embed(mdata, model)
        >>> mdata["rna"].obsm["X_unisono"].shape[0]
        120
    """
    model.embed(mdata)
    if key_added != EMBEDDING:
        for part in mdata.mod.values():
            if EMBEDDING in part.obsm:
                part.obsm[key_added] = part.obsm.pop(EMBEDDING)


def predict(
    mdata: MuData,
    model: Unisono,
    source: str,
    target: str,
    *,
    style: str = "average",
    interval: float | None = None,
    key_added: str | None = None,
) -> None:
    """Write the predicted target of each cell into `obsm` of the source's modality, a DataFrame of named features.

    `uns[key_added]` says scale, source and model. With an interval its ends are in `obsm[key_added + "_lower"]` and
    `..."_upper"`, and what the model itself is unsure of in `..."_spread"`. Rows of cells without counts are NaN.

    Args:
        mdata: raw counts; changed.
        model: which knows both modalities.
        source: modality to predict from.
        target: modality to predict.
        style: as for `Unisono.predict`.
        interval: as for `Unisono.predict`.
        key_added: of obsm and uns; by default `unisono_` and the target.

    Raises:
        BadInput: as `Unisono.predict`.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> un.tl.predict(mdata, model, "rna", "adt", interval=0.8)
        >>> list(mdata["rna"].obsm)
        ['unisono_adt', 'unisono_adt_spread', 'unisono_adt_lower', 'unisono_adt_upper']
        >>> bool((mdata["rna"].obsm["unisono_adt"].columns == mdata["adt"].var_names).all())
        True
    """
    key = key_added or f"unisono_{called(target)}"
    found = model.predict(mdata, source, target, style, interval)
    part = _part(mdata, source)
    for name, values in {key: found.X, **{f"{key}_{end}": found.layers[end] for end in found.layers}}.items():
        frame = pd.DataFrame(np.asarray(values), index=found.obs_names, columns=found.var_names)
        part.obsm[name] = frame.reindex(part.obs_names)
    part.obs[NOVELTY] = found.obs[NOVELTY].reindex(part.obs_names)
    part.uns[key] = dict(found.uns["unisono"])


def match(
    mdata: MuData,
    model: Unisono,
    left: str,
    right: str,
    *,
    within: str | None = None,
    rule: Rule = "soft",
    key_added: str = "unisono_match",
) -> None:
    """Write the likeliest partner of each left cell into `obs` of its modality.

    `obs[key_added]` is the name of the right cell, `obs[key_added + "_probability"]` how likely it is right, and
    `..."_p_unmatched"` that there is none. Cells without candidates have no name.

    Args:
        mdata: raw counts; changed. Equal names of both sides mean nothing.
        model: which knows both modalities.
        left: modality whose cells get a partner.
        right: modality of the partners.
        within: as for `Unisono.match`.
        rule: as for `Unisono.match`.
        key_added: prefix of the columns.

    Raises:
        BadInput: as `Unisono.match`.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> un.tl.match(mdata, model, "rna", "adt", within="batch")
        >>> [column for column in mdata["rna"].obs if column.startswith("unisono")]
        ['unisono_match', 'unisono_match_probability', 'unisono_match_p_unmatched']
        >>> bool(mdata["rna"].obs["unisono_match"].isin(mdata["adt"].obs_names).all())
        True
    """
    found = model.match(mdata, mdata, between=(left, right), within=within, rule=rule)
    best = found.pairs.drop_duplicates("left").set_index("left")["right"]
    table = found.to_anndata().obs
    columns: dict[str, Any] = {"": best, "_probability": table["confidence"], "_p_unmatched": table["p_unmatched"]}
    part = _part(mdata, left)
    for ending, values in columns.items():
        part.obs[f"{key_added}{ending}"] = values.reindex(part.obs_names)


def _part(mdata: MuData, modality: str) -> AnnData:
    """The AnnData of a modality, whatever it is called there."""
    found = [name for name in mdata.mod if kind_of(name) == called(modality) or name == modality]
    if not found:
        raise bad_input("E007", modality, f"not found; the data have {', '.join(mdata.mod)}.", "name one of these")
    part: AnnData = mdata.mod[found[0]]
    return part
