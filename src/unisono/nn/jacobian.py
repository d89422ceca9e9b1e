"""The Jacobian of the networks from one modality's codes to another's, averaged over cells; it trains nothing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unisono.nn.model import Network
from unisono.types import Modality

_CELLS_AT_A_TIME = 512

Array = NDArray[np.float32]


@torch.no_grad()
def mean_jacobian(
    network: Network, source: Modality, target: Modality, x: Array, style_latent: Array, style_offset: Array
) -> Array:
    """How the predicted codes of the target move with the codes of the source: target code x source code.

    The mean over cells and members of d code / d x. No cell enters the prediction of another one, so this is the
    Jacobian of the mean prediction with respect to one shift that all cells share, and costs one backward pass a
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
        raise ValueError(f"{source}->{target}: no cell to average the Jacobian over, wanted 1 or more")
    device = network.log_scale.device
    latent = torch.as_tensor(style_latent, device=device)[:, None]
    offset = torch.as_tensor(style_offset, device=device)
    total = np.zeros((len(style_offset), x.shape[1]))
    for start in range(0, len(x), _CELLS_AT_A_TIME):
        cells = torch.as_tensor(x[start : start + _CELLS_AT_A_TIME], device=device)
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
