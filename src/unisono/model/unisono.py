"""Unisono, the fitted model: it predicts, matches, embeds and is saved; it owns no data and is never refitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.interpretation.feature_effects import FeatureEffects, compute_feature_effects
from unisono.io.matching import Matching
from unisono.io.tables import prediction_to_anndata
from unisono.matching import DEFAULT_TOP, Anchors, DepthTerm, Rule, couple_by_rules
from unisono.messages import bad_input
from unisono.model import store
from unisono.model.adapt import adapted
from unisono.model.codes import chained_codes, direct_codes, with_column
from unisono.model.columns import labels_if_any, labels_within
from unisono.model.draws import DRAWS, Chain
from unisono.model.embedding import learnt_moment_alignment, write_embedding
from unisono.model.intervals import DRAWS as DRAWS_OF_INTERVALS
from unisono.model.intervals import bounds_of, calibrated
from unisono.model.match_vectors import MatchVectors, match_vectors
from unisono.model.query import (
    as_one_batch,
    infer_modality,
    modalities_in,
    query_cells,
    query_view,
    require_modality,
    validate_via,
)
from unisono.model.record import Record
from unisono.model.style import style_named, style_of_cells
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import Style, StyleBook
from unisono.preprocessing.closed_form import ClosedFormTerms
from unisono.preprocessing.moment_alignment import MomentAlignment
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.types import MODALITIES, Cells, Link, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import MIN_CELLS, Conformal
from unisono.uncertainty.novelty import Novelty

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from unisono.training.loop import Epoch

PRIOR_UNMATCHED = 0.02
"""Share of cells taken to have lost their partner to the filters of the other side, before looking."""

_LINKS: dict[Modality, Link] = {"rna": "nonnegative", "adt": "nonnegative", "atac": "logistic"}

_MIN_OF_GROUP = 20


@final
@dataclass(frozen=True, eq=False)
class Unisono:
    """A fitted model of two or three modalities.

    Attributes:
        config: the choices of the fit.
        network: encoders, decoders and heads.
        voices: by modality, the way from counts to codes.
        styles: by modality, the styles known by name.
        anchors: for each pair of modalities what makes a log density ratio of the similarity of contents.
        depth_terms: the same when the agreement of depths is added.
        routes: for each (source, target) what stands beside the networks.
        novelties: by modality, how far a cell lies from those of training.
        tuning: by modality, what brings its vectors to those of the others in `embed`; none where none was fitted.
        intervals: for each (source, target) how wide intervals are; none where too few cells were held out.
        record: where the model came from.
    """

    config: FitConfig
    network: Network
    preprocessors: Mapping[Modality, Preprocessor]
    styles: Mapping[Modality, StyleBook]
    anchors: Mapping[Pair, Anchors]
    depth_terms: Mapping[Pair, DepthTerm]
    closed_form: Mapping[Pair, ClosedFormTerms]
    novelties: Mapping[Modality, Novelty]
    moment_alignment: Mapping[Modality, MomentAlignment]
    intervals: Mapping[Pair, Conformal]
    record: Record

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities the model knows, in the order of the central dogma."""
        return tuple(m for m in MODALITIES if m in self.preprocessors)

    @property
    def batches(self) -> tuple[str, ...]:
        """The batches whose style the model knows in some modality, by name."""
        return tuple(sorted({str(name) for book in self.styles.values() for name in book.batches}))

    def predict(
        self,
        query: MuData | AnnData,
        source: Modality,
        target: Modality,
        style: str | MuData | AnnData = "average",
        interval: float | None = None,
        *,
        via: Modality | None = None,
        n_draws: int = 0,
        force: bool = False,
    ) -> AnnData:
        """One modality of each query cell from another, as it would have been measured.

        Args:
            query: raw counts; a MuData that has `source`, or an AnnData of it.
            source: modality to predict from.
            target: modality to predict.
            style: whose voice the prediction is in: "average" over training cells, the name of a training batch, or
                a few reference cells that have `target`.
            interval: coverage of prediction intervals, such as 0.9, for `layers["lower"]` and `layers["upper"]`; None
                for none. They hold for cells like those of training; a batch of training has widths of its own where
                enough of its cells were held out. After `calibrate`, for cells and groups like those given there.
            via: a third modality to pass through, as chromatin → RNA → protein: the target is predicted from what is
                predicted of `via`, with all that the first step leaves open carried into the second.
            n_draws: draws from the posterior that `layers["spread"]` is the standard deviation of: what the model is
                unsure about, not the noise of a measurement. 0 for none, but 32 with `via`.
            force: predict even where the query holds less than a tenth of what the model reads.

        Returns:
            AnnData, obs the query cells, var the target features of the training data, X float32 on the target's
            scale: rna log1p of counts per 10,000 (≥ 0), adt per-cell CLR (≥ 0), atac probability of being accessible.
            With draws, `layers["spread"]` in the same units; with an interval `layers["lower"]` and
            `layers["upper"]`, infinite where too few cells were held out to promise the coverage.
            `obs["novelty"]` says how far a cell lies from those of training: beyond 1 only 5 % of these do, and what
            is predicted of a cell far beyond is a guess.

        Raises:
            BadInput: the query cannot be read by this model, or it does not know the modality or style.
        """
        found = self.prediction(
            query, source=source, target=target, style=style, interval=interval, via=via, n_draws=n_draws, force=force
        )
        return prediction_to_anndata(found)

    def prediction(
        self,
        query: MuData | AnnData,
        source: Modality,
        target: Modality,
        style: str | MuData | AnnData = "average",
        *,
        interval: float | None = None,
        via: Modality | None = None,
        n_draws: int = 0,
        force: bool = False,
        source_name: str = "query",
    ) -> Prediction:
        """As `predict`, kept as codes x loadings: for many cells and features, dense only where asked."""
        require_modality(target, self.preprocessors)
        if via is not None:
            validate_via(via, source, target, self.preprocessors)
        view = query_view(query, source, self.preprocessors, self.record, source_name, force=force)
        chosen = self._style(target, style)
        if interval is None:
            return self.prediction_of(view, target, chosen, via=via, n_draws=n_draws)
        if via is not None:
            raise bad_input("E053", "predict", "intervals of a chain are not known.", "leave out interval or via")
        found = self.prediction_of(view, target, chosen, n_draws=DRAWS_OF_INTERVALS)
        groups = self.groups_of_intervals(query, view, target, source_name)
        return replace(found, bounds=bounds_of(self.intervals, source, target, interval, groups))

    def prediction_of(
        self,
        view: View,
        target: Modality,
        style: Style | None = None,
        *,
        via: Modality | None = None,
        n_draws: int = 0,
    ) -> Prediction:
        """As `prediction`, from a view whose counts are known to be sound; in average style unless told."""
        source, standardised = view.modality, self.preprocessors[view.modality].transform(view)
        average, closed_form = self.styles[target].average, self.closed_form[source, target]
        chosen = style if style is not None else average
        if via is None:
            codes = direct_codes(self.network, source, standardised.x, target, chosen, average, closed_form, n_draws)
        else:
            chain = Chain(self.network, self.styles, self.closed_form, via)
            codes = chained_codes(chain, source, standardised.x, target, chosen, n_draws or DRAWS)
        loadings, intercept = infer.readout(self.network, target)
        if closed_form.log_odds_shrinkage is not None:
            loadings = loadings * closed_form.log_odds_shrinkage[:, None]
        expected_depth = closed_form.expected_depth(standardised)
        if expected_depth is not None:
            codes = codes.with_depth(expected_depth)
            loadings = with_column(loadings, np.ones(len(loadings), dtype=np.float32))
        features = self.preprocessors[target].projection.features
        parts = (codes.mean, loadings, intercept, _LINKS[target], via, codes.draws)
        found = Prediction(source, target, view.cells, features, *parts)
        return replace(found, novelty=self.novelties[source].of(standardised.x))

    def calibrate(self, cells: MuData, by: str | None = None) -> Unisono:
        """The same model with intervals learnt from cells that it has not seen, in place of those of its fit.

        For cells unlike those of training, as of another donor: intervals then hold for cells like these.

        Args:
            cells: raw counts of cells with two modalities or more, some hundreds of them.
            by: obs column whose groups of 20 cells or more get widths of their own, such as the cell type; the batch
                unless told. Later queries are looked up by the same column; a cell of another group, or without one,
                has the widths of all cells.

        Raises:
            BadInput: the cells cannot be read by this model, E027 too few have two modalities, E029 or E031 the
                column is missing or lacks values.
        """
        known = query_cells(cells, self.preprocessors, self.record, "cells")
        groups = None
        if by is not None:
            groups = {m: labels_within(cells, known.views[m], by, self.record, "cells", "by") for m in known.views}
        found = self.with_intervals(known, groups, by=by, fewest=_MIN_OF_GROUP)
        if not found.intervals:
            raise bad_input(
                "E027", "cells", "too few cells have two modalities.", "give some hundreds measured in both"
            )
        return found

    def with_intervals(
        self,
        cells: Cells,
        groups: Mapping[Modality, NDArray[np.str_]] | None = None,
        *,
        by: str | None = None,
        fewest: int = MIN_CELLS,
    ) -> Unisono:
        """As `calibrate`, from cells whose counts are known to be sound.

        Args:
            cells: unseen by the model.
            groups: by modality, of each cell of its view; the batches unless told.
            by: the obs column that the groups are from.
            fewest: cells from which on a group gets widths of its own.
        """
        known = groups if groups is not None else {m: view.batch for m, view in cells.views.items()}
        predict = partial(self.prediction_of, n_draws=DRAWS_OF_INTERVALS)
        return replace(self, intervals=calibrated(predict, self.preprocessors, cells, known, fewest, by))

    def groups_of_intervals(
        self, query: MuData | AnnData, view: View, target: Modality, source_name: str = "query"
    ) -> NDArray[np.str_]:
        """The group of each cell of a view of the query by which widths of its intervals are looked up.

        That is its batch, or its value in the obs column that the widths were calibrated by: "" where it has none, and
        everywhere, with W067, where the query lacks the column.
        """
        widths = self.intervals.get((view.modality, target))
        if widths is None or widths.by is None:
            return view.batch
        return labels_if_any(query, view, widths.by, self.record, source_name)

    def match(
        self,
        left: MuData | AnnData,
        right: MuData | AnnData,
        *,
        within: str | None = None,
        rule: Rule = "soft",
        depth: bool = False,
        top: int = DEFAULT_TOP,
        between: Pair | None = None,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
        force: bool = False,
    ) -> Matching:
        """Which right cell is which left cell, by content; names are never used to pair them.

        Args:
            left: raw counts of one modality.
            right: raw counts of another one; may hold other cells, and more or fewer of them.
            within: obs column, the same on both sides: cells are matched inside its groups only.
            rule: "soft" probabilities, "argmax" the likeliest partner, "one-to-one" an assignment.
            depth: also use how total counts agree. Right only when both sides were measured in the same physical
                cells, where it helps; between separate experiments it misleads.
            top: most partners a row, for rule "soft"; at most 1,000.
            between: modalities of left and right, needed only where an object holds several.
            unmatched: share of the smaller side that lacks its partner on the other, for all you know before looking.
                Cells of a kind that the other side lacks are said to be unmatched whatever it is. With 0 the smaller
                side is matched whole, for cells that are known to be the same.
            min_probability: left cells whose first answer is less likely than that to be right get none among
                `.pairs`.
            force: match even where a side holds less than a tenth of what the model reads.

        Raises:
            BadInput: a side cannot be read by this model, or a left group has no right cells.
        """
        pair = between or (
            infer_modality(left, self.preprocessors, self.record, "left"),
            infer_modality(right, self.preprocessors, self.record, "right"),
        )
        left_view = query_view(left, pair[0], self.preprocessors, self.record, "left", force=force)
        right_view = query_view(right, pair[1], self.preprocessors, self.record, "right", force=force)
        groups = None
        if within is not None:
            groups = (
                labels_within(left, left_view, within, self.record, "left"),
                labels_within(right, right_view, within, self.record, "right"),
            )
        _, found = self.match_by_rules(
            left_view,
            right_view,
            (rule,),
            groups=groups,
            depth=depth,
            top=top,
            prior_unmatched=prior_unmatched,
            min_probability=min_probability,
        )
        return found[rule]

    def match_by_rules(
        self,
        left: View,
        right: View,
        rules: Sequence[Rule],
        *,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
        depth: bool = False,
        top: int = DEFAULT_TOP,
        prior_unmatched: float = PRIOR_UNMATCHED,
        min_probability: float = 0.0,
    ) -> tuple[MatchVectors, dict[Rule, Matching]]:
        """As `match` by several rules from one posterior, with the vectors compared, from views known to be sound."""
        if left.modality == right.modality:
            what = f"both sides are {left.modality}; matching is between two modalities."
            raise bad_input("E007", "match", what, "give two modalities")
        for name, value in (("prior_unmatched", prior_unmatched), ("min_probability", min_probability)):
            if not 0 <= value < 1:
                raise bad_input("E053", "match", f"{name}={value} is no share.", "say a number from 0 to below 1")
        vectors = self.match_vectors(left, right, depth=depth, groups=groups)
        found = couple_by_rules(
            *vectors[:2], rules, beta=vectors.beta, top=top, within=groups, prior_unmatched=prior_unmatched
        )
        sides = left.cells, right.cells, left.modality, right.modality
        return vectors, {rule: Matching(found[rule], *sides, rule, min_probability) for rule in rules}

    def match_vectors(
        self,
        left: View,
        right: View,
        *,
        depth: bool = False,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
    ) -> MatchVectors:
        """What matching compares: `beta` times an inner product is the log density ratio of a pair of cells.

        Depth, when it counts, is standardised within the groups.
        """
        return match_vectors(
            self.network, self.preprocessors, self.anchors, self.depth_terms, left, right, depth=depth, groups=groups
        )

    def vectors_of(self, view: View) -> NDArray[np.float32]:
        """Cells in the shared space, cell x dimension, unit length: inner products are similarities of content."""
        return infer.vectors(self.network, view.modality, self.preprocessors[view.modality].transform(view).x)

    def novelty_of(self, view: View) -> NDArray[np.float32]:
        """How far each cell lies from those of training; above 1 further than 95 % of them."""
        return self.novelties[view.modality].of(self.preprocessors[view.modality].transform(view).x)

    def embedded(self, view: View) -> NDArray[np.float32]:
        """What `embed` writes: `vectors_of` with the modality's mean and covariance brought to those of all."""
        vectors = self.vectors_of(view)
        return (
            self.moment_alignment[view.modality].apply(vectors) if view.modality in self.moment_alignment else vectors
        )

    def with_moment_alignment(self, codes: Mapping[Modality, NDArray[np.float32]]) -> Unisono:
        """The same model with its embedding tuned on some cells; untuned with under 20.

        Args:
            codes: of the same cells in each of the model's modalities, as the networks read those that are unseen.
        """
        return replace(self, moment_alignment=learnt_moment_alignment(self.network, codes))

    def with_novelties(self, codes: Mapping[Modality, NDArray[np.float32]]) -> Unisono:
        """The same model, with 95 % of some cells that it has not seen within novelty 1.

        Args:
            codes: of the cells of each modality, as the networks read them.
        """
        known = {m: self.novelties[m].rescaled(x) for m, x in codes.items()}
        return replace(self, novelties={**self.novelties, **known})

    def feature_effects(self, cells: MuData | AnnData, source: Modality, target: Modality) -> FeatureEffects:
        """Which features of `source` move which features of `target` in the predictions, averaged over some cells.

        Args:
            cells: raw counts, those of training as a rule; all features that the model reads have to be there.
            source: such as "rna".
            target: such as "atac" or "adt".

        Returns:
            Effects of one standard deviation of each source feature, `.table(top=10)` of them the strongest.

        Raises:
            BadInput: the cells cannot be read by this model, or it does not know the modality.
            ValueError: source and target are one, or features are missing.
        """
        require_modality(target, self.preprocessors)
        return self.feature_effects_of(query_view(cells, source, self.preprocessors, self.record, "cells"), target)

    def feature_effects_of(self, view: View, target: Modality) -> FeatureEffects:
        """As `feature_effects`, from a view whose counts are known to be sound."""
        for modality in (view.modality, target):
            require_modality(modality, self.preprocessors)
        return compute_feature_effects(self.network, self.preprocessors, self.styles, view, target)

    def embed(self, mdata: MuData, *, force: bool = False) -> MuData:
        """Write `obsm["X_unisono"]` and `obs["novelty"]` into each modality of `mdata`, and return it, changed.

        One shared space for all modalities, unit vectors: the inner product of two cells is the similarity of their
        contents. It is the space that `match` compares in, but for what tells the modality: each one's mean and
        covariance are brought to the average of all. Rows of cells without counts are NaN, and so is their novelty.
        Novelty and `force` as in `predict`.

        Raises:
            BadInput: a modality cannot be read by this model, or none is there.
        """
        for name, modality in modalities_in(mdata, self.record, self.preprocessors).items():
            view = query_view(mdata, modality, self.preprocessors, self.record, force=force)
            write_embedding(mdata.mod[name], view.cells, self.embedded(view), self.novelty_of(view))
        return mdata

    def adapt(
        self,
        query: MuData,
        *,
        batch_key: str | None = None,
        n_epochs: int = 20,
        seed: int = 0,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Unisono:
        """The same model with the style of new batches learnt from some of their cells.

        Style encoders, the layers that drive AdaIN, and the offsets of the new batches are fitted to the cells; content
        encoders and all else stand still. Then `style="NAME OF THE BATCH"` predicts in its voice, and cells of the
        batch are read with the offset that was found here, however few of them are asked about. Cells with two
        modalities teach more than cells with one, but none is needed.

        Args:
            query: raw counts of cells of batches that are new to the model, in any of its modalities.
            batch_key: obs column of the batch; that of the training unless told. With neither, all cells are taken as
                one batch, "query batch".
            n_epochs: passes over the cells.
            seed: equal seeds give equal models on one CPU.
            on_epoch: called after each epoch.

        Raises:
            BadInput: the query cannot be read by this model, or E065 none of its batches is new.
        """
        record = self.record if batch_key is None else self.record.model_copy(update={"batch_key": batch_key})
        cells = query_cells(query, self.preprocessors, record)
        if record.batch_key is None:
            cells = as_one_batch(cells)
        parts = store.Parts(*(getattr(self, name) for name in store.Parts._fields))
        return Unisono(*adapted(parts, cells, n_epochs, seed, on_epoch))

    def with_aliases(self, aliases: Mapping[str, str]) -> Unisono:
        """The same model, which also knows its features by other names: name in a query → name that it stands for.

        For spellings that the built-in tables lack, such as {"myCD3": "CD3"}; they are saved with the model.
        """
        preprocessors = {}
        for m, preprocessor in self.preprocessors.items():
            known = replace(preprocessor.projection.known, aliases={**preprocessor.projection.known.aliases, **aliases})
            preprocessors[m] = replace(preprocessor, projection=replace(preprocessor.projection, known=known))
        return replace(self, preprocessors=preprocessors)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to a folder of JSON and safetensors with a manifest, whole or not at all.

        Raises:
            BadInput: the folder exists and `force` is not set, or cannot be written.
        """
        parts = store.Parts(*(getattr(self, name) for name in store.Parts._fields))
        store.save(parts, path, force=force)

    def _style(self, target: Modality, style: str | MuData | AnnData) -> Style:
        book = self.styles[target]
        if isinstance(style, str):
            return style_named(style, book, target)
        view = query_view(style, target, self.preprocessors, self.record, "style")
        return style_of_cells(view, self.network, self.preprocessors[target], book.average)
