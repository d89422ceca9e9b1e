"""How good a match is: ranks of vectors, and probabilities, matches and labels of a posterior; never sees names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy import sparse

from unisono.metrics.arrays import Floats, Groups, Labels, Rows, Values, Vectors, check_shapes
from unisono.metrics.calibration import expected_calibration_error
from unisono.metrics.ranking import areas_of_ties

_BLOCK_ENTRIES = 2**22
"""Similarities held at a time where a full cell x cell matrix would be too large."""


def foscttm(left: Vectors, right: Vectors, groups: Labels | None = None) -> float:
    """Fraction of samples closer than the true match: 0 is perfect, 0.5 chance; the mean over cells and directions.

    For a cell, the share of the n − 1 others of the other side that score above its partner, a tie counting half.

    Args:
        left: cell x dimension; row i of both is the same cell, the score is the inner product.
        right: cell x dimension.
        groups: the others are those of the cell's own group; a cell alone in its group is left out.

    References:
        Liu et al., "Jointly embedding multiple single-cell omics measurements", WABI 2019.

    Examples:
        Each cell is most similar to its partner; then all right cells are alike; then the first two are exchanged:

        >>> import numpy as np, unisono as un
        >>> left = np.eye(3)
        >>> un.metrics.foscttm(left, left), un.metrics.foscttm(left, np.ones((3, 3)))
        (0.0, 0.5)
        >>> un.metrics.foscttm(left, left[[1, 0, 2]])  # (0.75 + 0.75 + 0) / 3, as the third cell ties with the partner
        0.5
    """
    return _mean_share(len(left), (_others_above(left, right, groups), _others_above(right, left, groups)))


def foscttm_of_scores(scores: Values, groups: Labels | None = None) -> float:
    """`foscttm` where each pair has a score of its own, such as a log posterior, that need be no inner product.

    Args:
        scores: left x right, row i and column i are the same cell; −inf is a score like any other.
        groups: as for `foscttm`.

    Examples:
        One of the two others scores above the partner, for the last left cell and for the second right one:

        >>> import numpy as np, unisono as un
        >>> scores = np.array([[5.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 6.0, 5.0]])
        >>> round(un.metrics.foscttm_of_scores(scores), 2)  # 0.5 / 3 either way
        0.17
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) == 0:
        raise ValueError(f"scores are {scores.shape}, expected as many left as right cells and at least 1")
    counts = (
        ((cells, _above(direction[np.ix_(cells, cells)])) for cells in _by_group(len(scores), groups))
        for direction in (scores, scores.T)
    )
    return _mean_share(len(scores), counts)


def recall_at(
    left: Vectors, right: Vectors, ks: Sequence[int] = (1, 5, 10), groups: Labels | None = None
) -> dict[int, float]:
    """The share of left cells whose partner is among their k best right cells; k / n at chance.

    A partner tied with others takes the mean of their places. From left to right only: swap for the other way.

    Args:
        left: cell x dimension; row i of both is the same cell, the score is the inner product.
        right: cell x dimension.
        ks: numbers of candidates allowed.
        groups: candidates are those of the cell's own group.

    Examples:
        Of four cells the first two are exchanged; their partners tie with two others for places two to four:

        >>> import numpy as np, unisono as un
        >>> un.metrics.recall_at(np.eye(4), np.eye(4)[[1, 0, 2, 3]], ks=(1, 3))
        {1: 0.5, 3: 1.0}
    """
    place = np.concatenate([np.empty(0), *(above for _, above in _others_above(left, right, groups))])
    return {k: float(np.mean(place < k)) for k in ks}


def _mean_share(n_cells: int, directions: Iterable[Iterable[tuple[Rows, Floats]]]) -> float:
    """Mean over directions of the mean share of others above the partner; cells without others are left out."""
    means = []
    for direction in directions:
        share = np.full(n_cells, np.nan)
        for cells, above in direction:
            if len(cells) > 1:
                share[cells] = above / (len(cells) - 1)
        known = share[~np.isnan(share)]
        means.append(known.mean() if len(known) else np.nan)
    return float(np.mean(means))


def _others_above(query: Vectors, reference: Vectors, groups: Labels | None) -> Iterator[tuple[Rows, Floats]]:
    """The cells of each group, and how many others each scores above its partner, a tie counting half."""
    if len(query) == 0:
        raise ValueError("0 cells: a metric of matching needs at least one pair")
    check_shapes(query, reference)
    for cells in _by_group(len(query), groups):
        own, others, size = query[cells], reference[cells], max(1, _BLOCK_ENTRIES // len(cells))
        blocks = (_above(own[s : s + size] @ others.T, s) for s in range(0, len(cells), size))
        yield cells, np.concatenate(list(blocks))


def _by_group(n_cells: int, groups: Labels | None) -> Iterator[Rows]:
    labels = np.zeros(n_cells, dtype=int) if groups is None else np.asarray(groups)
    if len(labels) != n_cells:
        raise ValueError(f"groups: {len(labels)} labels for {n_cells} cells")
    yield from (np.flatnonzero(labels == group) for group in np.unique(labels))


def _above(score: Values, start: int = 0) -> Floats:
    """How many others of each row score above its partner, in column `start` plus the row; a tie counts half."""
    rows = np.arange(len(score))
    partner = score[rows, start + rows][:, None]
    n_ties = (score == partner).sum(axis=1) - 1
    return np.asarray((score > partner).sum(axis=1) + 0.5 * n_ties)


def within_groups(posterior: sparse.csr_matrix, groups: Groups | None) -> sparse.csr_matrix:
    """What a posterior says once it is known that partners share a group: other entries go, rows sum to 1 again.

    A row whose entries all lie in other groups becomes empty: it gives its partner probability 0. With no groups the
    posterior is returned as it is.

    Examples:
        The third right cell is of another batch:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> groups = np.array(["b1"]), np.array(["b1", "b1", "b2"])
        >>> un.metrics.within_groups(csr_matrix([[0.6, 0.2, 0.2]]), groups).toarray().round(2)
        array([[0.75, 0.25, 0.  ]])
    """
    if groups is None:
        return posterior
    _check_labels(posterior, groups)
    rows = _row_of_entries(posterior)
    is_inside = groups[0][rows] == groups[1][posterior.indices]
    rows, columns, values = rows[is_inside], posterior.indices[is_inside], posterior.data[is_inside]
    sums = np.bincount(rows, weights=values, minlength=posterior.shape[0])
    values = np.divide(values, sums[rows], out=np.zeros(len(values)), where=sums[rows] > 0)
    return sparse.csr_matrix((values, (rows, columns)), shape=posterior.shape)


def probability_of_partner(posterior: sparse.csr_matrix, partner: Rows, groups: Groups | None = None) -> Floats:
    """The probability that each left cell gives its partner.

    Args:
        posterior: left x right, rows sum to 1.
        partner: for each left cell the column of its partner, −1 where the right side lacks it.
        groups: of both sides; see `within_groups`.

    Returns:
        0 to 1, and NaN where there is no partner.

    Examples:
        The partner of the first left cell is the first right one, the second has none:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> un.metrics.probability_of_partner(csr_matrix([[0.6, 0.4], [0.7, 0.3]]), np.array([0, -1]))
        array([0.6, nan])
    """
    if len(partner) != posterior.shape[0] or partner.max(initial=-1) >= posterior.shape[1]:
        raise ValueError(f"partner: {len(partner)} columns up to {partner.max(initial=-1)} for {posterior.shape}")
    inside = within_groups(posterior, groups)
    probability = np.asarray(inside[np.arange(len(partner)), np.maximum(partner, 0)], dtype=np.float64).ravel()
    return np.where(partner >= 0, probability, np.nan)


def match_probability(posterior: sparse.csr_matrix, partner: Rows, groups: Groups | None = None) -> float:
    """Mean probability given to the partner over left cells that have one; 1 / n at chance.

    The score of the 2021 competition's task "match modality", for rows that sum to 1. Arguments as in
    `probability_of_partner`.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022.

    Examples:
        Partners are given 0.6 and 0.3:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> round(un.metrics.match_probability(csr_matrix([[0.6, 0.4], [0.7, 0.3]]), np.array([0, 1])), 2)
        0.45
    """
    return float(np.nanmean(probability_of_partner(posterior, partner, groups)))


def accuracy(posterior: sparse.csr_matrix, partner: Rows, groups: Groups | None = None) -> float:
    """The share of left cells with a partner whose most probable right cell it is; a tie counts its share.

    Examples:
        Both cells choose the first right one, which is the partner of one of them:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> un.metrics.accuracy(csr_matrix([[0.6, 0.4], [0.7, 0.3]]), np.array([0, 1]))
        0.5
    """
    correct, _ = top_match(within_groups(posterior, groups), partner)
    return float(np.mean(correct[partner >= 0]))


def one_to_one_accuracy(assignment: sparse.csr_matrix, partner: Rows, groups: Groups | None = None) -> float:
    """The share of left cells with a partner that are assigned to it; 1 / n at chance.

    Args:
        assignment: left x right, at most one entry per row, as of rule `one-to-one`. What a cell left over is given
            instead counts as its match; an empty row is a wrong one.
        partner: as in `probability_of_partner`.
        groups: of both sides; a match in another group than the left cell's is wrong.

    Raises:
        ValueError: a row holds several entries: probabilities, not an assignment.

    Examples:
        Each cell is assigned to the one in its own place; the partners of the last two are exchanged:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> round(un.metrics.one_to_one_accuracy(csr_matrix(np.eye(3)), np.array([0, 2, 1])), 2)
        0.33
    """
    n_several = int((np.diff(assignment.indptr) > 1).sum())
    if n_several:
        raise ValueError(f"assignment: {n_several} rows hold several entries; give the matching of rule one-to-one")
    return match_probability(assignment, partner, groups)


def match_calibration_error(
    posterior: sparse.csr_matrix,
    partner: Rows,
    groups: Groups | None = None,
    bins: int = 15,
    *,
    listed: Floats | None = None,
) -> float:
    """Expected calibration error of the most probable right cell, over left cells that have a partner, 0 to 1.

    The probability is that of the best right cell; of several that tie, one is taken by chance. See
    `expected_calibration_error`.

    Args:
        posterior: as the next two in `probability_of_partner`.
        partner: see there.
        groups: see there.
        bins: of stated probabilities.
        listed: probability that the partner of each left cell is among those of its row, where it may be elsewhere;
            None for 1.

    Examples:
        Two cells are 60 % sure, and one of them is right:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> posterior = csr_matrix([[0.6, 0.4], [0.6, 0.4]])
        >>> round(un.metrics.match_calibration_error(posterior, np.array([0, 1])), 2)
        0.1
    """
    correct, best = top_match(within_groups(posterior, groups), partner)
    best = best if listed is None else best * listed
    has_partner = partner >= 0
    return expected_calibration_error(np.minimum(best[has_partner], 1.0), correct[has_partner], bins)


def top_match(posterior: sparse.csr_matrix, partner: Rows) -> tuple[Floats, Floats]:
    """Per left cell the chance that its best right cell, drawn from those that tie, is its partner; its probability.

    Examples:
        The second cell draws between two that tie:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> un.metrics.top_match(csr_matrix([[0.6, 0.4], [0.5, 0.5]]), np.array([0, 1]))
        (array([1. , 0.5]), array([0.6, 0.5]))
    """
    own = np.nan_to_num(probability_of_partner(posterior, partner))
    best = _best(posterior)
    rows = _row_of_entries(posterior)
    n_best = np.bincount(rows, weights=posterior.data == best[rows], minlength=len(best))
    is_found = (own == best) & (own > 0)
    return is_found / np.maximum(n_best, 1), best


def pair_areas(posterior: sparse.csr_matrix, partner: Rows, groups: Groups | None = None) -> tuple[float, float]:
    """AUROC and AUPRC over all pairs of a left and a right cell: are partners given more than other pairs?

    The probability is the score, partners are the positives. A pair that is not stored counts, partner or not, with
    score 0, and all of those tie: a partner that is not among the candidates costs what a draw among them costs. So do
    the Open Problems, but they draw lots among ties and join the points of the precision–recall curve by trapezia; here
    ties have their expected place in AUROC and the AUPRC is the average precision, so that nothing is drawn.

    Args:
        posterior: left x right, no entry below 0.
        partner: for each left cell the column of its partner, −1 where the right side lacks it.
        groups: of both sides; only pairs within a group count, negatives too.

    Returns:
        AUROC, 0.5 at chance, and AUPRC, 1 / n at chance, of n right cells; NaN if there is no partner or nothing else.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022; neurips2021_multimodal_viash,
        match_modality/metrics/aupr.

    Examples:
        Partners have 0.9 and 0.4, the other pairs 0.6 and 0.1: three of four comparisons are right.

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> auroc, auprc = un.metrics.pair_areas(csr_matrix([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> auroc, round(auprc, 2)
        (0.75, 0.83)
    """
    inside = within_groups(posterior, groups)
    probability_of_partner(inside, partner)
    rows, is_stored = _row_of_entries(inside), inside.data > 0
    is_partner = (partner[rows] == inside.indices)[is_stored]
    _, group = np.unique(-inside.data[is_stored], return_inverse=True)
    n_groups = int(group.max(initial=-1)) + 1
    n_items = np.bincount(group, minlength=n_groups).astype(np.float64)
    n_hits = np.bincount(group, weights=is_partner, minlength=n_groups)
    n_pairs, n_partners = _possible_pairs(inside, partner, groups)
    return areas_of_ties(
        np.append(n_items, n_pairs - n_items.sum()),
        np.append(n_hits, n_partners - n_hits.sum()),
    )


def label_transfer_accuracy(
    posterior: sparse.csr_matrix, left_labels: Labels, right_labels: Labels, groups: Groups | None = None
) -> float:
    """The share of left cells whose best right cell carries their label; of several that tie, the share that do.

    Args:
        posterior: left x right, rows sum to 1; an empty row counts as wrong.
        left_labels: the label of each left cell, such as its type.
        right_labels: the label of each right cell.
        groups: of both sides; see `within_groups`.

    Examples:
        The B cell finds a B cell, the T cell finds one too:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> posterior = csr_matrix([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4]])
        >>> un.metrics.label_transfer_accuracy(posterior, np.array(["B", "T"]), np.array(["B", "B", "T"]))
        0.5
    """
    inside = within_groups(posterior, groups)
    _check_labels(inside, (left_labels, right_labels))
    rows = _row_of_entries(inside)
    is_best = (inside.data == _best(inside)[rows]) & (inside.data > 0)
    is_same = left_labels[rows] == right_labels[inside.indices]
    n_best = np.bincount(rows, weights=is_best, minlength=inside.shape[0])
    n_right = np.bincount(rows, weights=is_best & is_same, minlength=inside.shape[0])
    return float(np.mean(n_right / np.maximum(n_best, 1)))


def label_transfer_chance(left_labels: Labels, right_labels: Labels, groups: Groups | None = None) -> float:
    """`label_transfer_accuracy` of a right cell drawn at random, of the left cell's own group if there are groups.

    Without groups Σ_k p_left(k) p_right(k), of the shares of each label k on either side.

    Examples:
        Three of four cells are B cells on either side: 0.75 · 0.75 + 0.25 · 0.25.

        >>> import numpy as np, unisono as un
        >>> labels = np.array(["B", "B", "B", "T"])
        >>> un.metrics.label_transfer_chance(labels, labels)
        0.625
    """
    own = np.zeros(len(left_labels), dtype=int) if groups is None else groups[0]
    others = np.zeros(len(right_labels), dtype=int) if groups is None else groups[1]
    n_right = 0.0
    for group in np.unique(own):
        left, right = left_labels[own == group], right_labels[others == group]
        n_same = sum(float((left == label).sum()) * float((right == label).sum()) for label in np.unique(left))
        n_right += n_same / max(len(right), 1)
    return n_right / len(left_labels)


def label_transfer_probability(
    posterior: sparse.csr_matrix, left_labels: Labels, right_labels: Labels, groups: Groups | None = None
) -> float:
    """Mean over left cells of the probability that they give to right cells of their own label, 0 to 1.

    The posterior-weighted `label_transfer_accuracy`: Σ_j p_ij [label_j = label_i]. Arguments as there.

    Examples:
        The B cell gives 0.5 + 0.3 to B cells, the T cell 0.4 to T cells:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> posterior = csr_matrix([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4]])
        >>> left, right = np.array(["B", "T"]), np.array(["B", "B", "T"])
        >>> round(un.metrics.label_transfer_probability(posterior, left, right), 2)
        0.6
    """
    inside = within_groups(posterior, groups)
    _check_labels(inside, (left_labels, right_labels))
    is_same = left_labels[_row_of_entries(inside)] == right_labels[inside.indices]
    return float(inside.data[is_same].sum() / inside.shape[0])


def _best(posterior: sparse.csr_matrix) -> Floats:
    """The largest probability of each row, 0 of an empty one."""
    return np.asarray(posterior.max(axis=1).toarray(), dtype=np.float64).ravel()


def _possible_pairs(posterior: sparse.csr_matrix, partner: Rows, groups: Groups | None) -> tuple[int, int]:
    """How many pairs there are, within groups if there are any, and how many of them are partners."""
    has_partner = partner >= 0
    if groups is None:
        return posterior.shape[0] * posterior.shape[1], int(has_partner.sum())
    names, n_left = np.unique(groups[0], return_counts=True)
    n_right = np.array([(groups[1] == name).sum() for name in names])
    is_inside = groups[0][has_partner] == groups[1][partner[has_partner]]
    return int(n_left @ n_right), int(is_inside.sum())


def _row_of_entries(posterior: sparse.csr_matrix) -> Rows:
    return np.repeat(np.arange(posterior.shape[0]), np.diff(posterior.indptr))


def _check_labels(posterior: sparse.csr_matrix, labels: Groups) -> None:
    found = (len(labels[0]), len(labels[1]))
    if found != posterior.shape:
        raise ValueError(f"labels of {found[0]} left and {found[1]} right cells for a posterior of {posterior.shape}")
