"""Every choice of a fit in one frozen, JSON-able object; unknown keys are refused; holds no data and no code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Preset = Literal["fast", "default", "best"]
Likelihood = Literal["gaussian", "negative_binomial", "bernoulli"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Weights(_Frozen):
    """The weight of each term of the objective; a term of weight zero is not computed."""

    likelihood: float = Field(1.0, ge=0)
    """−log p(x | content, style) on the raw scale, in nats a feature: the reconstruction half of the ELBO."""
    kl: float = Field(1.0, ge=0)
    """KL(q ‖ N(0, I)) of content and style, in nats a feature of the reconstructed modality, after warm-up."""
    readout: float = Field(1.0, ge=0)
    """Squared error of the decoded code, in units of the code's variance: the scale on which predictions are given."""
    cross: float = Field(1.0, ge=0)
    """Reconstruction terms with the content of another modality, relative to those with the cell's own."""
    contrastive: float = Field(0.3, ge=0)
    """Symmetric cross-entropy between contents of two modalities, in nats."""


class Architecture(_Frozen):
    """Sizes and switches of the networks."""

    content_dim: int = Field(32, ge=2)
    style_dim: int = Field(8, ge=1)
    n_channels: int = Field(8, ge=1)
    n_tokens: int = Field(16, ge=2)
    n_blocks: int = Field(1, ge=1)
    instance_norm: bool = True
    """Instance normalisation over tokens in the content encoder; off for ablation."""
    style: bool = True
    """Style path: style encoder and AdaIN; off for ablation (the decoder then gets a constant style)."""
    linear_path: bool = True
    """Probabilistic CCA beside the networks, which then learn what it leaves over."""
    linear_weight: float | None = Field(None, ge=0, le=1)
    """Share of the linear path in the similarity of two cells; None for what suits the held-out cells best. It is
    small where cells are many, and large where they are few and the networks overfit."""
    kernel_member: bool = True
    """Kernel ridge beside the networks in predictions, with the share that suits the held-out cells best."""

    @property
    def chooses_linear_weight(self) -> bool:
        """Whether the share of the linear path is left to the held-out cells."""
        return self.linear_path and self.linear_weight is None


class FitConfig(_Frozen):
    """All choices of one fit. Made by `FitConfig.preset`, with the fields to change."""

    seed: int = Field(0, ge=0)
    n_members: int = Field(3, ge=1)
    """Networks in the ensemble, trained together as one batched network."""
    n_codes: int = Field(64, ge=2)
    """Low-rank features of a view, before the components that follow depth are dropped."""
    max_features: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Features of a modality that enter its code, by modality; its own default for those not named (5,000 for rna,
    50,000 for atac)."""
    likelihoods: dict[str, Likelihood] = {}
    """Likelihood of the counts, by modality; its own default for those not named. adt may be "negative_binomial"."""
    architecture: Architecture = Architecture()
    weights: Weights = Weights()
    kl_warmup_epochs: int = Field(10, ge=0)
    thinning: tuple[float, float] = (0.2, 1.0)
    """Range of the rate at which counts are kept, drawn for each cell and epoch; (1, 1) switches thinning off."""
    n_sampled_features: int = Field(64, ge=1)
    """Features of a modality whose likelihood enters a step: bounds the cost of a step whatever the number of peaks."""
    max_epochs: int = Field(47, ge=0)
    patience: int = Field(6, ge=1)
    """Evaluations on held-out cells without progress before training stops."""
    epochs_per_evaluation: int = Field(2, ge=1)
    batch_size: int = Field(512, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the training cells kept aside to stop training and to choose shares and temperatures."""
    linear_decoder_from: int = Field(3000, ge=0)
    """Training cells from which on decoders start from the loadings of the linear path, which overfit where cells are
    few; with fewer cells the networks decode alone."""
    refit_below: int = Field(3000, ge=0)
    """Training cells below which the model is then fitted anew on all of them, the held-out ones too."""

    @model_validator(mode="after")
    def _thinning_is_a_range(self) -> FitConfig:
        low, high = self.thinning
        if not 0 < low <= high <= 1:
            raise ValueError(f"thinning: {self.thinning} is no range of keep rates, wanted 0 < low <= high <= 1")
        return self

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> FitConfig:
        """The config of a preset with some fields changed; nested sections may be given as dictionaries.

        Raises:
            ValueError: unknown preset, unknown field or a value out of range.
        """
        if name not in _PRESETS:
            raise ValueError(f"preset {name!r} unknown, wanted one of {', '.join(_PRESETS)}")
        return cls.model_validate(_merge(_PRESETS[name], changes))


_PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"n_members": 1, "max_epochs": 18},
    "default": {},
    "best": {"n_members": 8, "max_epochs": 200, "patience": 12},
}


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged
