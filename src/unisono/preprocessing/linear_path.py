"""Probabilistic CCA of several views: the closed-form linear-Gaussian member of the family the networks belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from unisono.config import LinearPathConfig
from unisono.preprocessing.joint_gaussian import Codes, Completed, Has, Incomplete, completed, cross_covariance
from unisono.types import Modality

_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class LinearPath:
    """Posterior mean and decoder of probabilistic CCA, one pair of matrices a modality.

    With canonical variates u of unit variance and correlations ρ, content is z ~ N(0, I), u = √ρ z + noise, so that
    E[z | x] = √ρ u, Var[z | x] = 1 − ρ, and the prediction of one view's code from another's is Σ ρ u · Cov(x, u).

    Attributes:
        encoders: code x content; E[z | x] = x @ encoder.
        decoders: content x code; E[x | z] = z @ decoder.
        correlation: ρ of each content dimension on cells that did not choose the directions.
    """

    encoders: Mapping[Modality, Float32[np.ndarray, "_ content"]]
    decoders: Mapping[Modality, Float32[np.ndarray, "content _"]]
    correlation: Float32[np.ndarray, " content"]

    def vectors(
        self, modality: Modality, x: Float[np.ndarray, "cell _"], max_correlation: float, bias_norm: float
    ) -> Float[np.ndarray, "cell compared"]:
        """Cells as unit vectors, whose inner products are their similarities before the first step of training.

        Contents are weighted so that inner products are log density ratios, Σ ρ u v / (1 − ρ²), with a constant
        appended; see `Architecture.max_correlation` and `Architecture.bias_norm`.
        """
        bounded = np.minimum(self.correlation, max_correlation).astype(np.float64)
        slope = bounded / (1.0 - bounded**2)
        weighted = (x @ self.encoders[modality]) * np.sqrt(slope / self.correlation)
        vectors = np.column_stack([weighted, np.full(len(x), bias_norm * np.sqrt(slope.sum()))])
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST))

    def without_decoders(self) -> LinearPath:
        """The same encoders, with decoders of zero."""
        return replace(self, decoders={m: np.zeros_like(decoder) for m, decoder in self.decoders.items()})


def fit_linear_path(
    codes: Codes,
    has: Has,
    content_dim: int,
    config: LinearPathConfig,
    rng: np.random.Generator,
    incomplete: Incomplete | None = None,
) -> LinearPath:
    """Probabilistic CCA of batch-centred codes whose rows are the same cells in every modality.

    Directions come from the shrunken generalised CCA, correlations from cross-validation: in-sample ones are far too
    high where cells are few.

    Args:
        codes: modality → cell x code, any values where the cell lacks the modality.
        has: modality → whether each cell has it.
        content_dim: dimensions of content; where the codes span fewer, the last ones are zero.
        config: shrinkage and folds.
        rng: draws the folds.
        incomplete: the modalities of which not all was measured; covariances are those of completed codes.

    References:
        Bach & Jordan, "A probabilistic interpretation of canonical correlation analysis", 2005.
        Kettenring, "Canonical analysis of several sets of variables", 1971 (MAXVAR, for three views).
    """
    n_dims = min(content_dim, *(codes[m].shape[1] for m in codes))
    whole = completed(codes, has, incomplete)
    weights = _directions(whole, has, n_dims, config)
    correlation = _cross_validated_correlation(codes, has, n_dims, config, rng, incomplete)
    root = np.sqrt(correlation)
    missing = content_dim - n_dims
    encoders, decoders = {}, {}
    for m in codes:
        loadings = whole.covariance(m, has) @ weights[m]
        encoders[m] = _padded(weights[m] * root, missing)
        decoders[m] = np.ascontiguousarray(_padded(loadings * root, missing).T)
    padded = np.pad(correlation, (0, missing), constant_values=config.correlation_range[0])
    return LinearPath(encoders, decoders, padded.astype(np.float32))


def _directions(
    whole: Completed, has: Has, n_dims: int, config: LinearPathConfig
) -> dict[Modality, NDArray[np.float64]]:
    """Code x dimension for each view, its variates of unit variance: leading generalised canonical directions."""
    codes, names = whole.codes, list(whole.codes)
    covariance = {m: whole.covariance(m, has) for m in names}
    inverse_root = {m: _inverse_root(_shrunken(covariance[m], config.shrinkage)) for m in names}
    ends = np.cumsum([0] + [codes[m].shape[1] for m in names])
    block = {m: slice(ends[i], ends[i + 1]) for i, m in enumerate(names)}
    whitened = np.eye(ends[-1])
    for a, b in combinations(names, 2):
        cross = cross_covariance(codes[a], codes[b], has[a] & has[b])
        part = inverse_root[a] @ cross @ inverse_root[b]
        whitened[block[a], block[b]], whitened[block[b], block[a]] = part, part.T
    values, vectors = np.linalg.eigh(whitened)
    leading = vectors[:, np.argsort(-values)[:n_dims]]
    weights = {m: inverse_root[m] @ leading[block[m]] for m in names}
    return {m: _of_unit_variance(w, covariance[m], config.min_variance) for m, w in weights.items()}


def _of_unit_variance(
    weights: NDArray[np.float64], covariance: NDArray[np.float64], min_variance: float
) -> NDArray[np.float64]:
    """Directions scaled so that their variates vary by 1; those along which cells hardly vary are 0."""
    variance = np.einsum("cd,ce,ed->d", weights, covariance, weights)
    inverse = 1.0 / np.sqrt(np.maximum(variance, min_variance))
    return np.asarray(weights * np.where(variance > min_variance, inverse, 0.0))


def _cross_validated_correlation(
    codes: Codes,
    has: Has,
    n_dims: int,
    config: LinearPathConfig,
    rng: np.random.Generator,
    incomplete: Incomplete | None,
) -> NDArray[np.float64]:
    """Correlation of each pair of variates on cells left out of the directions' fit, mean over pairs and folds.

    Of codes as they are: a variate of which few cells measured much correlates little, and weighs little in contents.
    """
    n_cells = len(next(iter(has.values())))
    max_repeats = 1 if incomplete and incomplete.parts else config.max_repeats  # completing takes most of the time
    correlations = []
    for _ in range(min(max_repeats, -(-config.min_fold_cells // n_cells))):
        fold = rng.permutation(n_cells) % config.n_folds
        for left_out in range(config.n_folds):
            learning = {m: has[m] & (fold != left_out) for m in has}
            weights = _directions(completed(codes, learning, incomplete), learning, n_dims, config)
            for a, b in combinations(codes, 2):
                rows = has[a] & has[b] & (fold == left_out)
                if rows.sum() > 2:
                    correlations.append(_correlation(codes[a][rows] @ weights[a], codes[b][rows] @ weights[b]))
    return np.clip(np.mean(correlations, axis=0) if correlations else np.zeros(n_dims), *config.correlation_range)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray((a * b).sum(axis=0) / np.maximum(norm, _SMALLEST))


def _shrunken(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    mean_variance = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return covariance + shrinkage * mean_variance * np.eye(len(covariance))


def _inverse_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-12))) @ vectors.T)


def _padded(matrix: NDArray[np.float64], missing: int) -> NDArray[np.float32]:
    return np.pad(matrix, ((0, 0), (0, missing))).astype(np.float32)
