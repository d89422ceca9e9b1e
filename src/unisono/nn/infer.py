"""The networks at work on arrays: posteriors, decodings and mean Jacobians, in chunks of cells; trains nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unisono.nn.model import Network
from unisono.types import Modality

_CELLS_AT_A_TIME = 8192

Array = Float[np.ndarray, "..."]


@torch.inference_mode()
def contents(network: Network, modality: Modality, x: Array) -> Array:
    """Mean content of each cell, member x cell x content, from batch-centred codes."""
    return _in_chunks(lambda rows: network.content(modality, _members(network, x[rows]))[0].mu, len(x))


@torch.inference_mode()
def drawn_contents(network: Network, modality: Modality, x: Array, noise: Array) -> Array:
    """One draw from the posterior of each cell's content, member x cell x content.

    Args:
        x: batch-centred codes, cell x code, or member x cell x code where each member has codes of its own.
        noise: member x content, standard normal; the same for all cells, so that the draw of a cell does not depend
            on the others.
    """
    x = x if x.ndim == 3 else np.broadcast_to(x, (network.n_members, *x.shape))
    device = network.log_scale.device
    epsilon = torch.as_tensor(noise, device=device)[:, None]

    def draw(rows: slice) -> torch.Tensor:
        mu, log_var = network.content(modality, torch.as_tensor(np.array(x[:, rows]), device=device))[0]
        return mu + torch.exp(0.5 * log_var) * epsilon

    return _in_chunks(draw, x.shape[1])


@torch.inference_mode()
def vectors(network: Network, modality: Modality, x: Array, weight: float | None = None) -> Array:
    """One unit vector per cell, from batch-centred codes, cell x ((member + 1) · content).

    The inner product of two cells is the mean cosine of their contents over the members, blended with that of the
    linear path at `weight`, the network's own by default.
    """
    z = contents(network, modality, x)
    device = network.log_scale.device

    def network_part(rows: slice) -> torch.Tensor:
        return network.similarity_features(torch.as_tensor(z[:, rows], device=device))

    def linear_part(rows: slice) -> torch.Tensor:
        return network.linear_content(modality, torch.as_tensor(x[rows], device=device))[None]

    weight = float(network.linear_weight) if weight is None else weight
    weights = np.sqrt(np.float32((1.0 - weight) / len(z))), np.sqrt(np.float32(weight))
    parts = weights[0] * _in_chunks(network_part, len(x)), weights[1] * _in_chunks(linear_part, len(x))
    joined = np.concatenate(parts).transpose(1, 0, 2)
    return np.ascontiguousarray(joined.reshape(len(x), joined.shape[1] * joined.shape[2]))


@torch.inference_mode()
def linear_map(network: Network, modality: Modality) -> tuple[Array, float]:
    """Content by the linear path, code x content, weighted as cells are compared, and the constant next to it."""
    linear = network.contents[modality].get_buffer("linear") * network.first_dim_weight
    return np.ascontiguousarray(linear.cpu().numpy()), float(network.first_bias_norm)


@torch.inference_mode()
def styles(network: Network, modality: Modality, x: Array, depth: Array, offset: Array) -> Array:
    """Mean style of each cell, member x cell x style."""

    def style(rows: slice) -> torch.Tensor:
        _, statistics = network.content(modality, _members(network, x[rows]))
        return network.style(modality, statistics, _members(network, depth[rows]), _members(network, offset[rows])).mu

    return _in_chunks(style, len(x))


@torch.inference_mode()
def decoded(network: Network, target: Modality, z: Array, style: Array, offset: Array) -> Array:
    """Scaled codes of the target by each member, member x cell x code, all cells in one style.

    Args:
        z: member x cell x content.
        style: member x style.
        offset: one per code.
    """
    device = network.log_scale.device
    latent = torch.as_tensor(style, device=device)[:, None]
    shift = torch.as_tensor(offset, device=device)

    def decode(rows: slice) -> torch.Tensor:
        some = torch.as_tensor(z[:, rows], device=device)
        n_cells = some.shape[1]
        return network.decode(target, some, latent.expand(-1, n_cells, -1), shift.expand(len(some), n_cells, -1))

    return _in_chunks(decode, z.shape[1])


@torch.inference_mode()
def readout(network: Network, target: Modality) -> tuple[Array, Array]:
    """Loadings (feature x code) and intercepts that carry codes to the target's scale, or to log odds."""
    loadings, intercept = network.head(target).readout()
    return loadings.cpu().numpy(), intercept.cpu().numpy()


def _members(network: Network, values: Array) -> torch.Tensor:
    """The same cells for every member."""
    tensor = torch.as_tensor(values, device=network.log_scale.device)
    return tensor.expand(network.n_members, *tensor.shape)


def _in_chunks(function: Callable[[slice], torch.Tensor], n_cells: int) -> Array:
    """`function` of slices of cells, joined along the second axis."""
    starts = range(0, max(n_cells, 1), _CELLS_AT_A_TIME)
    return np.concatenate([function(slice(s, s + _CELLS_AT_A_TIME)).cpu().numpy() for s in starts], axis=1)


_CELLS_OF_A_JACOBIAN = 512


@torch.no_grad()
def mean_jacobian(
    network: Network, source: Modality, target: Modality, x: Array, style_latent: Array, style_offset: Array
) -> Array:
    """How the predicted codes of the target move with the codes of the source: target code x source code.

    The mean over cells and members of d code / d x. No cell enters the prediction of another one, so this is the
    Jacobian of the mean prediction with respect to one shift that all cells share, and costs one backward pass per
    target code, whatever the number of cells. It is exact, and the same in chunks of any size up to rounding.

    Args:
        network: whose posterior means are decoded; nothing is sampled.
        source: modality of `x`.
        target: modality whose scaled codes are read out.
        x: batch-centred codes, cell x code.
        style_latent: member x style, of the style that all cells are predicted in.
        style_offset: one per target code; it shifts predictions, so the Jacobian does not depend on it.

    Raises:
        ValueError: there is no cell to average over.
    """
    if not len(x):
        raise ValueError(f"{source}->{target}: no cell to average the Jacobian over, expected 1 or more")
    device = network.log_scale.device
    latent = torch.as_tensor(style_latent, device=device)[:, None]
    offset = torch.as_tensor(style_offset, device=device)
    total = np.zeros((len(style_offset), x.shape[1]))
    for start in range(0, len(x), _CELLS_OF_A_JACOBIAN):
        cells = torch.as_tensor(x[start : start + _CELLS_OF_A_JACOBIAN], device=device)
        total += _summed(network, source, target, cells, latent, offset).cpu().numpy()
    return np.asarray(total / len(x), dtype=np.float32)


def _summed(
    network: Network,
    source: Modality,
    target: Modality,
    x: Float[Tensor, "cell code"],
    latent: Float[Tensor, "member one style"],
    offset: Float[Tensor, " target"],
) -> Float[Tensor, "target code"]:
    """Sum over cells, mean over members, of the Jacobian of each cell's prediction."""
    n_members, n_cells = latent.shape[0], x.shape[0]

    def predicted(shift: Float[Tensor, " code"]) -> Float[Tensor, " target"]:
        z = network.content(source, (x + shift).expand(n_members, -1, -1))[0].mu
        codes = network.decode(target, z, latent.expand(-1, n_cells, -1), offset.expand(n_members, n_cells, -1))
        return codes.mean(dim=0).sum(dim=0)

    jacobian: Tensor = torch.func.jacrev(predicted)(torch.zeros_like(x[0]))
    return jacobian
