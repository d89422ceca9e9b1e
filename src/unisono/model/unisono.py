"""Unisono, the fitted model with its public methods: predict, match, embed and more; owns no data, never changes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.display import as_html, as_text
from unisono.hub.address import address_in
from unisono.hub.card import model_card
from unisono.hub.exchange import CARD, push
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Style
from unisono.inference.record import Record
from unisono.inference.summary import model_rows
from unisono.interpretation.feature_effects import FeatureEffects, feature_effects
from unisono.io.embeddings import EMBEDDING
from unisono.io.matching import Matching
from unisono.io.naming import called
from unisono.io.places import Layer
from unisono.io.store import Store
from unisono.io.tables import NOVELTY, prediction_to_anndata
from unisono.matching import MAX_PARTNERS, Rule, Similarity, apply_rule, match_posterior
from unisono.messages import bad_input, warn
from unisono.model import store
from unisono.model.blocks import (
    blocks_of_one,
    codes_of,
    modality_of,
    query_blocks,
    tables_of_cells,
    tables_of_modalities,
)
from unisono.model.cell_index import CellIndex, load_index
from unisono.model.outputs import annotated_matching, annotated_prediction, joined_predictions, measured_otherwise
from unisono.model.pairing import joined
from unisono.model.query import (
    QueryOptions,
    as_one_batch,
    joined_by_name,
    labels_if_any,
    labels_within,
    modalities_in,
    part_of,
    query_cells,
    query_view,
    query_views,
    require_modality,
    small_batches,
    validate_via,
    without_group,
)
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.training.adapt import adapted
from unisono.training.selection import fit_intervals
from unisono.types import Modality, Pair, Prediction, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from unisono.training.loop import OnEpoch

PRIOR_UNMATCHED = 0.02
"""Prior fraction of cells whose partner the quality filters of the other side have removed."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Unisono:
    """A fitted model of two or more modalities.

    Attributes:
        fitted: the parts of the model, which work on arrays.

    Examples:
        >>> import tempfile, unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> model.modalities, model.batches
        (('atac', 'rna', 'adt'), ('b1', 'b2'))

        Proteins of cells whose RNA alone is looked at, with intervals that hold four of five measured values:

        >>> proteins = model.predict(mdata["rna"], source="rna", target="adt", interval=0.8)
        >>> proteins.shape, sorted(proteins.layers)
        ((120, 8), ['lower', 'spread', 'upper'])
        >>> bool((proteins.layers["lower"] <= proteins.X).all())
        True

        The likeliest partners of RNA cells among protein cells, within batches, whatever the cells are called:

        >>> matching = model.match(mdata["rna"], mdata["adt"], within="batch", rule="argmax")
        >>> matching.pairs.shape, list(matching.pairs)
        ((120, 3), ['left', 'right', 'probability'])

        All modalities in one space, written into `mdata`, for `scanpy.pp.neighbors(..., use_rep="X_unisono")`:

        >>> mdata = model.embed(mdata)
        >>> mdata["rna"].obsm["X_unisono"].shape == mdata["adt"].obsm["X_unisono"].shape
        True

        A model that was saved and loaded gives the same predictions:

        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     loaded = un.load(f"{folder}/model")
        >>> bool((loaded.predict(mdata, "rna", "adt").X == proteins.X).all())
        True
    """

    fitted: FittedModel

    def __repr__(self) -> str:
        return as_text("Unisono model", model_rows(self.fitted))

    def _repr_html_(self) -> str:
        return as_html("Unisono model", model_rows(self.fitted))

    @property
    def config(self) -> FitConfig:
        """The choices of the fit."""
        return self.fitted.config

    @property
    def record(self) -> Record:
        """Where the model came from."""
        return self.fitted.record

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities the model knows, in the order of the central dogma."""
        return self.fitted.modalities

    @property
    def batches(self) -> tuple[str, ...]:
        """The batches whose style the model knows in some modality, by name."""
        return tuple(sorted({str(name) for book in self.fitted.predictor.styles.values() for name in book.batches}))

    def predict(
        self,
        query: MuData | AnnData | Store,
        source: Modality,
        target: Modality,
        style: str | MuData | AnnData = "average",
        interval: float | None = None,
        *,
        via: Modality | None = None,
        n_draws: int = 0,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
    ) -> AnnData:
        """One modality of each query cell from another, as it would have been measured.

        Args:
            query: raw counts; a MuData that has `source`, or an AnnData of it, in memory or from `unisono.open`.
                Of more than `FitConfig.max_held_cells` cells, how a new batch was measured is told from that many.
            source: modality to predict from.
            target: modality to predict.
            style: style of the prediction: "average" over training cells, the name of a training batch, or
                a few reference cells that have `target`.
            interval: coverage of prediction intervals, such as 0.9, for `layers["lower"]` and `layers["upper"]`; None
                for none. They hold for cells like those of training; a batch of training has widths of its own where
                enough of its cells were validation cells. After `calibrate`, for cells and groups like those there.
            via: an intermediate modality, as in chromatin → RNA → protein: the target is predicted from predictions of
                `via`, with the uncertainty of the first step carried into the second.
            n_draws: draws from the posterior that `layers["spread"]` is the standard deviation of: the uncertainty of
                the model, not the noise of a measurement. 0 for none, but 32 with `via`.
            force: predict even where the query holds less than a tenth of the model's signal.
            layer: where the raw counts of the query are: a layer, "X" or ".raw", for all modalities or by modality; by
                default where those of training were.
            round_counts: whether fractional counts are rounded; by default if those of training were.

        Returns:
            AnnData, obs the query cells with the query's columns, var the target features of the training data with
            theirs, X float32 on the target's scale: rna log1p of counts per 10,000 (≥ 0), adt per-cell CLR (≥ 0), atac
            probability of being accessible. With draws, `layers["spread"]` in the same units; with an interval
            `layers["lower"]` and `layers["upper"]`, infinite where validation cells were too few for the coverage.
            `obs["unisono_novelty"]` is the distance of a cell from those of training: it exceeds 1 for 5 % of these,
            and predictions for cells far beyond are unreliable.

        Raises:
            BadInput: the query cannot be read by this model, or it does not know the modality or style.
        """
        prediction = self.prediction(
            query,
            source,
            target,
            style,
            interval=interval,
            via=via,
            n_draws=n_draws,
            force=force,
            layer=layer,
            round_counts=round_counts,
        )
        return prediction_to_anndata(prediction)

    def prediction(
        self,
        query: MuData | AnnData | Store,
        source: Modality,
        target: Modality,
        style: str | MuData | AnnData = "average",
        *,
        interval: float | None = None,
        via: Modality | None = None,
        n_draws: int = 0,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "query",
    ) -> Prediction:
        """As `predict`, kept as codes x loadings, for many cells and features."""
        preprocessors = self.fitted.preprocessors
        source, target, via = called(source), called(target), None if via is None else called(via)
        require_modality(target, preprocessors)
        if via is not None:
            validate_via(via, source, target, preprocessors)
        options = QueryOptions(force, layer, round_counts)
        if interval is not None:
            if via is not None:
                what, remedy = "intervals of a chain are not available.", "leave out interval or via"
                raise bad_input("E053", "predict", what, remedy)
            self.fitted.bounds(source, target, interval, np.empty(0, dtype=str))
            n_draws = self.config.uncertainty.n_draws
        asked = query_blocks(query, source, self.fitted, source_name, options)
        warn(self.record.repeated("model"))
        chosen = self.style_of(target, style)
        cells, parts = asked.answered(lambda view: asked.fitted.predict(view, target, chosen, via=via, n_draws=n_draws))
        prediction, tables = joined_predictions(parts), tables_of_cells(query)
        if interval is not None:
            groups = self.interval_groups(tables, cells, target, source_name)
            prediction = replace(prediction, bounds=self.fitted.bounds(source, target, interval, groups))
        return annotated_prediction(prediction, self.fitted, tables, cells)

    def style_of(self, target: Modality, style: str | MuData | AnnData) -> Style:
        """A style as `predict` takes it: "average", the name of a training batch, or that of reference cells.

        Raises:
            BadInput: E031 no training batch has the name, or the cells cannot be read by this model.
        """
        if isinstance(style, str):
            return self.fitted.predictor.style_named(target, style)
        view = query_view(style, target, self.fitted.preprocessors, self.record, "style")
        return self.fitted.predictor.style_of(view)

    def calibrate(
        self,
        cells: MuData | AnnData,
        by: str | None = None,
        *,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "cells",
    ) -> Unisono:
        """The same model with intervals from cells that it was not trained on, in place of those of its fit.

        For cells unlike those of training, such as another donor's: intervals then hold for cells like these.

        Args:
            cells: raw counts of cells with two modalities or more, some hundreds of them.
            by: obs column whose groups of 20 cells or more get widths of their own, such as the cell type; the batch
                by default. Later queries are looked up by the same column; a cell of another group, or without one,
                has the widths of all cells.
            layer: as for `predict`.
            round_counts: as for `predict`.
            source_name: what messages call the cells.

        Raises:
            BadInput: the cells cannot be read by this model, E027 too few have two modalities, E029 or E031 the
                column is missing or lacks values.
        """
        options = QueryOptions(layer=layer, round_counts=round_counts)
        views = query_views(cells, self.fitted.preprocessors, self.record, source_name, options)
        known = joined_by_name(views, source_name)
        if by is not None:
            groups = {m: labels_within(cells, view, by, self.record, source_name, "by") for m, view in views.items()}
        else:
            groups = {m: view.batch for m, view in known.views.items()}
        intervals = fit_intervals(self.fitted.predictor, known, self.config, groups=groups, by=by)
        if not intervals:
            what, remedy = "too few cells have two modalities.", "pass some hundreds measured in both"
            raise bad_input("E027", source_name, what, remedy)
        return Unisono(replace(self.fitted, intervals=intervals))

    def interval_groups(
        self, query: MuData | AnnData, view: View, target: Modality, source_name: str = "query"
    ) -> NDArray[np.str_]:
        """The group of each cell of a view of the query by which widths of its intervals are looked up.

        That is its batch, or its value in the obs column of `calibrate`: "" where it has none, and everywhere, with
        W067, where the query lacks the column.
        """
        widths = self.fitted.intervals.get((view.modality, target))
        if widths is None or widths.by is None:
            return view.batch
        return labels_if_any(query, view, widths.by, self.record, source_name)

    def match(
        self,
        left: MuData | AnnData | Store,
        right: MuData | AnnData | Store,
        *,
        within: str | None = None,
        rule: Rule = "soft",
        depth: bool = False,
        top: int = MAX_PARTNERS,
        between: Pair | None = None,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_names: tuple[str, str] = ("left", "right"),
    ) -> Matching:
        """The right cells that may be the same cell as each left cell, by content; names are never used to pair them.

        Args:
            left: raw counts of one modality, in memory or from `unisono.open`; of many cells codes alone are held.
            right: raw counts of another one; may hold other cells, and more or fewer of them.
            within: obs column, the same on both sides: cells are matched inside its groups only. Left cells of a group
                that the right side lacks, or without a value, get no partner: `p_unmatched` is 1.
            rule: "soft" probabilities, "argmax" the likeliest partner, "one-to-one" an assignment.
            depth: also use the agreement of total counts. Only for two sides measured in the same physical cells;
                between separate experiments it misleads.
            top: most partners per row, for rule "soft"; at most 1,000.
            between: modalities of left and right, needed only where an object holds several.
            prior_unmatched: prior fraction of the smaller side that lacks its partner on the other.
                Cells of a kind that the other side lacks are unmatched whatever it is. With 0 the smaller side is
                matched whole, for cells that are known to be the same.
            min_probability: left cells whose best partner is less probable than this are left out of `.pairs`.
            force: match even where a side holds less than a tenth of the model's signal.
            layer: as for `predict`, for both sides.
            round_counts: as for `predict`.
            source_names: what messages call the sides.

        Raises:
            BadInput: a side cannot be read by this model, or no group is on both sides.
        """
        record, options = self.record, QueryOptions(force, layer, round_counts)
        names = between or (None, None)
        fitted, remedy = self.fitted, 'pass between=("rna", "adt") or pass one modality'
        pair = (
            modality_of(left, names[0], fitted, source_names[0], remedy),
            modality_of(right, names[1], fitted, source_names[1], remedy),
        )
        left_cells, left_codes = codes_of(query_blocks(left, pair[0], fitted, source_names[0], options))
        right_cells, right_codes = codes_of(query_blocks(right, pair[1], fitted, source_names[1], options))
        tables = tables_of_cells(left), tables_of_cells(right)
        warn(record.repeated("model"))
        groups = None
        if within is not None:
            groups = (
                labels_within(tables[0], left_cells, within, record, source_names[0], is_missing_allowed=True),
                labels_within(tables[1], right_cells, within, record, source_names[1], is_missing_allowed=True),
            )
            warn(without_group(*groups, within))
        similarity, answers = self.match_codes(
            left_codes,
            right_codes,
            (rule,),
            groups=groups,
            depth=depth,
            top=top,
            prior_unmatched=prior_unmatched,
            min_probability=min_probability,
        )
        warn(measured_otherwise(similarity, answers[rule]))
        return annotated_matching(answers[rule], self.fitted, tables, (left_cells, right_cells))

    def pair(
        self,
        left: MuData | AnnData,
        right: MuData | AnnData,
        *,
        within: str | None = None,
        depth: bool = False,
        between: Pair | None = None,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_names: tuple[str, str] = ("left", "right"),
    ) -> MuData:
        """One MuData of paired cells out of two sides that were measured apart: the matching one to one, joined.

        Arguments are those of `match`; pairs below `min_probability` are left out.

        Returns:
            Both modalities with their counts, layers and obs, the cells called as the left ones. `obs` of the whole has
            `unisono_left` and `unisono_right`, the names in either data, and `unisono_probability`, how likely it is
            that both are the same cell.

        Raises:
            BadInput: as `match`; E057 no pair is as likely as `min_probability`.
        """
        found = self.match(
            left,
            right,
            within=within,
            rule="one-to-one",
            depth=depth,
            between=between,
            prior_unmatched=prior_unmatched,
            min_probability=min_probability,
            force=force,
            layer=layer,
            round_counts=round_counts,
            source_names=source_names,
        )
        return joined(
            found, part_of(left, found.left_modality, self.record), part_of(right, found.right_modality, self.record)
        )

    def match_by_rules(
        self,
        left: View,
        right: View,
        rules: Sequence[Rule],
        *,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
        depth: bool = False,
        top: int = MAX_PARTNERS,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
    ) -> tuple[Similarity, dict[Rule, Matching]]:
        """As `match` by several rules from one posterior, with the similarity, from validated views."""
        return self.match_codes(
            self.fitted.predictor.transform(left),
            self.fitted.predictor.transform(right),
            rules,
            groups=groups,
            depth=depth,
            top=top,
            prior_unmatched=prior_unmatched,
            min_probability=min_probability,
        )

    def match_codes(
        self,
        left: StandardisedCodes,
        right: StandardisedCodes,
        rules: Sequence[Rule],
        *,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
        depth: bool = False,
        top: int = MAX_PARTNERS,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
    ) -> tuple[Similarity, dict[Rule, Matching]]:
        """As `match` by several rules from one posterior, with the similarity, from codes."""
        if left.modality == right.modality:
            what = f"both sides are {left.modality}; matching is between two modalities."
            raise bad_input("E007", "match", what, "give two modalities")
        for name, value in (("prior_unmatched", prior_unmatched), ("min_probability", min_probability)):
            if not 0 <= value < 1:
                what = f"{name}={value} is out of range."
                raise bad_input("E053", "match", what, "pass a number from 0 to below 1")
        similarity = self.fitted.similarity_of_codes(left, right, depth=depth, groups=groups)
        posterior = match_posterior(
            similarity, within=groups, k=self.config.matching.n_candidates, prior_unmatched=prior_unmatched
        )
        answers = {rule: apply_rule(posterior, rule, max_partners=top) for rule in rules}
        sides = left.cells, right.cells, left.modality, right.modality
        return similarity, {rule: Matching(answer, *sides, rule, min_probability) for rule, answer in answers.items()}

    def embed(
        self,
        mdata: MuData | Store,
        *,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "query",
    ) -> MuData:
        """Write `obsm["X_unisono"]` and `obs["unisono_novelty"]` into each modality of `mdata`, and return it, changed.

        One shared space for all modalities, of unit vectors, so that inner product, cosine and Euclidean distance rank
        alike. Cells of two modalities rank as `match` ranks them before Sinkhorn and without depth, and modalities have
        one mean and covariance; `MomentAlignment` has the formula. The trade-off: in addition to content and
        potential, each modality has 64 coordinates of its own (0 for the others) in which a hub, a cell that is similar
        to all, is moved away from all; for a twentieth of the cells this is truncated. With three modalities a cell
        has the mean of its potentials towards the other two, and ranks are near those of `match`. In a model whose fit
        had under 20 cells with all modalities, vectors are of content alone. Rows of cells without counts are NaN, and
        so is their novelty. Novelty and the arguments are as in `predict`;
        `source_name` is what messages call the cells.

        Of cells from `unisono.open`, which stay as they are, a MuData without features is returned: obs and obsm.

        Raises:
            BadInput: a modality cannot be read by this model, or none is there; E006 no MuData.
        """
        if not isinstance(mdata, Store) and not hasattr(mdata, "mod"):
            what = f"one {type(mdata).__name__}, not a MuData, whose modalities are written into."
            raise bad_input("E006", "embed", what, 'pass MuData({"rna": adata})')
        options = QueryOptions(force, layer, round_counts)
        found = tables_of_modalities(mdata) if isinstance(mdata, Store) else mdata
        for name, modality in modalities_in(found, self.record, self.fitted.preprocessors, source_name).items():
            asked = query_blocks(mdata, modality, self.fitted, source_name, options)
            cells, parts = asked.answered(asked.fitted.embedding_and_novelty)
            vectors, novelty = (np.concatenate(each) for each in zip(*parts, strict=True))
            _write_embedding(found.mod[name], cells.cells, vectors, novelty)
        return found

    def index(
        self,
        cells: MuData | AnnData | Store,
        modality: str | None = None,
        *,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "cells",
    ) -> CellIndex:
        """Cells of one modality in the space of `embed`, such as those of an atlas, to be searched for similar ones.

        Args:
            cells: raw counts, in memory or from `unisono.open`; not changed. Cells without counts are left out.
            modality: which of them to index; needed only where `cells` hold several.
            force: index even where the cells hold less than a tenth of the model's signal.
            layer: as for `predict`.
            round_counts: as for `predict`.
            source_name: what messages call the cells.

        Raises:
            BadInput: the cells cannot be read by this model; E007 they lack the modality, or hold several and none is
                named.
        """
        options = QueryOptions(force, layer, round_counts)
        asked = blocks_of_one(cells, modality, self.fitted, source_name, options)
        known, vectors = asked.answered(asked.fitted.embedding)
        return CellIndex(self.fitted, known.modality, known.cells, np.concatenate(vectors))

    def load_index(self, path: str | Path) -> CellIndex:
        """Read an index that was made with this model; every file is verified first, nothing is ever unpickled.

        Args:
            path: the folder that `CellIndex.save` wrote.

        Raises:
            BadInput: E001 no such folder, E047 a file or a pickle, E048 written by a newer version, E049 no index, made
                with another model, or a file missing, changed or not of one size with the others, E054 a link or a
                name that leads out of the folder.
        """
        return load_index(path, self.fitted)

    def feature_effects(
        self,
        cells: MuData | AnnData,
        source: Modality,
        target: Modality,
        *,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "cells",
    ) -> FeatureEffects:
        """The effects of features of `source` on predicted features of `target`, averaged over some cells.

        Args:
            cells: raw counts, usually those of training, with all features that the model reads.
            source: such as "rna".
            target: such as "atac" or "adt".
            layer: as for `predict`.
            round_counts: as for `predict`.
            source_name: what messages call the cells.

        Returns:
            Effects of one standard deviation of each source feature, `.table(top=10)` of them the strongest.

        Raises:
            BadInput: the cells cannot be read by this model or lack features that it reads, it does not know the
                modality, or source and target are one.
        """
        source, target = called(source), called(target)
        require_modality(target, self.fitted.preprocessors)
        options = QueryOptions(layer=layer, round_counts=round_counts)
        view = query_view(cells, source, self.fitted.preprocessors, self.record, source_name, options)
        return feature_effects(self.fitted.predictor, view, target)

    def adapt(
        self,
        query: MuData | AnnData,
        *,
        batch_key: str | None = None,
        n_epochs: int = 20,
        seed: int = 0,
        on_epoch: OnEpoch | None = None,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "query",
    ) -> Unisono:
        """The same model with the style of new batches, fitted to some of their cells.

        Style encoders, the layers that drive AdaIN, and the offsets of the new batches are fitted to the cells; content
        encoders and all else are frozen. Then `style="NAME OF THE BATCH"` predicts in its style, and cells of the
        batch are read with the offset that was estimated here, however few they are. Cells with two modalities help
        more than cells with one, but none is needed.

        Args:
            query: raw counts of cells of batches that are new to the model, in any of its modalities.
            batch_key: obs column of the batch; that of the training by default. With neither, all cells are taken as
                one batch, "query batch".
            n_epochs: passes over the cells.
            seed: equal seeds give equal models on one CPU.
            on_epoch: called after each epoch.
            layer: as for `predict`.
            round_counts: as for `predict`.
            source_name: what messages call the cells.

        Raises:
            BadInput: the query cannot be read by this model, or E065 none of its batches is new.
        """
        record = self.record if batch_key is None else self.record.model_copy(update={"batch_key": batch_key})
        options = QueryOptions(False, layer, round_counts, learns_batches=True)
        cells = query_cells(query, self.fitted.preprocessors, record, source_name, options)
        if record.batch_key is None:
            cells = as_one_batch(cells)
        warn(small_batches(cells, self.batches, source_name))
        return Unisono(adapted(self.fitted, cells, n_epochs, seed, on_epoch))

    def with_aliases(self, aliases: Mapping[str, str]) -> Unisono:
        """The same model, which also knows its features by other names: name in a query → name that it stands for.

        For spellings that the built-in tables lack, such as {"myCD3": "CD3"}; saved with the model.
        """
        known = {m: preprocessor.with_aliases(aliases) for m, preprocessor in self.fitted.preprocessors.items()}
        return Unisono(replace(self.fitted, predictor=replace(self.fitted.predictor, preprocessors=known)))

    def save(self, path: str | Path, *, compact: bool = False, force: bool = False) -> None:
        """Write the model to a folder of JSON and safetensors with a manifest, whole or not at all.

        Args:
            path: of the folder.
            compact: keep three digits of each number, in half the space.
            force: replace what is there.

        Raises:
            BadInput: the folder exists and `force` is not set, or cannot be written.
        """
        store.save(self.fitted, path, compact=compact, force=force)

    def push_to_hub(
        self,
        name: str,
        *,
        revision: str | None = None,
        commit_message: str = "Add a model of Unisono",
        private: bool | None = None,
        token: str | None = None,
        licence: str | None = None,
        compact: bool = False,
    ) -> str:
        """Commit the model's folder to the Hugging Face hub, with a card made from its record; needs the extra `hub`.

        What is saved goes along: names of features and batches, figures of the fit, and a hash of each training cell.

        Args:
            name: `owner/name`; the model is made on the hub where there is none.
            revision: branch to commit to, made where there is none; `main` by default.
            commit_message: first line of the commit's message.
            private: whether a model that is made there is shown to its owner alone; None as the owner's account has it.
            token: of the hub, with the right to write; None for the one that is logged in (`hf auth login`).
            licence: of the model, as `cc-by-4.0`; that of its card by default.
            compact: as for `save`.

        Returns:
            The address with owner, name and commit, as `load` takes it.

        Raises:
            BadInput: E063 huggingface_hub is not installed, E093 no such name, E094 to E096 the hub has no such owner,
                cannot be reached or refuses, E097 the files are too large.
        """
        address = address_in(name)
        address = replace(address, revision=revision or address.revision)
        with TemporaryDirectory() as place:
            folder = Path(place) / "model"
            store.save(self.fitted, folder, compact=compact)
            (folder / CARD).write_text(model_card(self.fitted, address, licence), encoding="utf-8")
            return str(push(folder, address, commit_message=commit_message, private=private, token=token))


def _write_embedding(
    part: AnnData, cells: NDArray[np.str_], vectors: NDArray[np.float32], novelty: NDArray[np.float32]
) -> None:
    """Write vectors and novelty of some cells into obsm and obs of `part`, which is changed; others get NaN."""
    rows = part.obs_names.get_indexer(cells)
    embedded = np.full((part.n_obs, vectors.shape[1]), np.nan, dtype=np.float32)
    embedded[rows] = vectors
    all_cells = np.full(part.n_obs, np.nan, dtype=np.float32)
    all_cells[rows] = novelty
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a view of another table becomes a table, as it is to hold something of its own
        part.obsm[EMBEDDING] = embedded
        part.obs[NOVELTY] = all_cells
