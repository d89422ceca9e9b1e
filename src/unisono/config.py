"""Every choice of a fit in one frozen, JSON-able object; unknown keys are refused; holds no data and no code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from unisono.limits import A_FEW, LARGE, MANY, Text

Preset = Literal["fast", "default", "best"]
Likelihood = Literal["gaussian", "negative_binomial", "bernoulli"]


def _in_order(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"{limits} is no range, expected the lower end first")
    return limits


_Fraction = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0, le=LARGE)]
_Log = Annotated[float, Field(ge=-100, le=100)]
Fractions = Annotated[tuple[_Fraction, ...], A_FEW]
Amounts = Annotated[tuple[_Amount, ...], A_FEW]
Penalties = Annotated[tuple[Annotated[float, Field(gt=0, le=LARGE)], ...], A_FEW]
Range = Annotated[tuple[_Amount, _Amount], AfterValidator(_in_order)]
LogRange = Annotated[tuple[_Log, _Log], AfterValidator(_in_order)]
Codings = Annotated[tuple[Text, ...], Field(max_length=100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Weights(_Frozen):
    """The weight of each term of the objective; a term of weight zero is not computed."""

    likelihood: float = Field(1.0, ge=0, le=LARGE)
    """−log p(x | content, style) on the raw scale, in nats a feature: the reconstruction half of the ELBO.
    Untested."""
    kl: float = Field(1.0, ge=0, le=LARGE)
    """KL(q ‖ N(0, I)) of content and style, in nats a feature of the reconstructed modality, after warm-up.
    Untested."""
    readout: float = Field(1.0, ge=0, le=LARGE)
    """Squared error of the decoded code, in units of the code's variance: the scale on which predictions are given.
    Untested."""
    cross: float = Field(1.0, ge=0, le=LARGE)
    """Reconstruction terms with the content of another modality, relative to those with the cell's own.
    Untested."""
    contrastive: float = Field(0.3, ge=0, le=LARGE)
    """Symmetric cross-entropy between contents of two modalities, in nats. 1 → 0.3 with wider thinning: FOSCTTM of
    bmmc_cite 0.0996 → 0.0846; 0.1 pays on one small set and costs on another."""


class Architecture(_Frozen):
    """Sizes and switches of the networks."""

    content_dim: int = Field(32, ge=2, le=4096)
    """Dimensions of content. 13 instead of 32: no difference on pbmc10k."""
    style_dim: int = Field(8, ge=1, le=4096)
    """Dimensions of style. Untested."""
    style_hidden: int = Field(4, ge=1, le=4096)
    """Hidden units of a style encoder for each dimension of style. Untested."""
    n_channels: int = Field(8, ge=1, le=4096)
    """Channels C of the C x T tokens over which instance normalisation runs; 8 throughout, other numbers untested."""
    n_tokens: int = Field(16, ge=2, le=4096)
    """Tokens T. 8 x 32 in two blocks → 8 x 16 in one: FOSCTTM of pbmc10k 0.0391 → 0.0377, steps 2.2 times faster."""
    n_blocks: int = Field(1, ge=1, le=64)
    """Blocks of an encoder and of a decoder. 2 → 1 as in `n_tokens`."""
    instance_norm: bool = True
    """Instance normalisation over tokens in the content encoder; off for ablation."""
    style: bool = True
    """Style path: style encoder and AdaIN; off for ablation (the decoder then gets a constant style)."""
    linear_path: bool = True
    """Probabilistic CCA in addition to the networks, which then learn its residual."""
    linear_weight: float | None = Field(None, ge=0, le=1)
    """Weight of the linear path in the similarity of two cells; None to select it on the validation cells. It is
    small where cells are many, and large where they are few and the networks overfit. A fixed one is untested."""
    initial_linear_weight: float = Field(0.2, ge=0, le=1)
    """That weight before the selection, and without validation cells. 0 → 0.2: FOSCTTM of
    bmmc_cite 0.0839 → 0.0804 and 0.0738 → 0.0731."""
    kernel: bool = True
    """Kernel ridge in addition to the networks in predictions, with a weight selected on the validation cells."""
    initial_temperature: float = Field(0.1, gt=0, le=LARGE)
    """Temperature of the contrastive loss at the start. CLIP starts at 0.07; untested."""
    min_temperature: float = Field(0.01, gt=0, le=LARGE)
    """The learned temperature stays above. As in CLIP; untested."""
    bias_norm: float = Field(0.5, ge=0, le=LARGE)
    """Norm, in units of a typical cell's, of the constant appended to content when cells are compared. With
    `max_correlation`, against the cosine weighted by ρ: FOSCTTM of panel224 0.0792 → 0.0767, of cortex 0.1163 →
    0.1123."""
    max_correlation: float = Field(0.9, gt=0, lt=1)
    """Canonical correlation above which a dimension of content gains no more weight in the similarity at the start:
    ρ / (1 − ρ²) would else let one dimension decide. See `bias_norm`."""
    log_var_range: LogRange = (-8.0, 4.0)
    """Log variances of posteriors are clamped to this range, in nats. Untested."""
    value_sharpness: float = Field(10.0, gt=0, le=LARGE)
    """Sharpness of the softplus that keeps decoded values above 0 where they are carried back to counts. Untested."""
    max_log_bias: float = Field(5.0, gt=0, le=LARGE)
    """Bound of the bias of a feature at the start, in nats. Untested."""

    @property
    def selects_linear_weight(self) -> bool:
        """Whether the weight of the linear path is left to the validation cells."""
        return self.linear_path and self.linear_weight is None


class PreprocessingConfig(_Frozen):
    """From counts to standardised codes."""

    codings: dict[Text, Codings] = {}
    """How counts of a modality become the values of which codes are made: by modality, names of those to choose from;
    one is taken as it is. Those of the modality for one not named, which the config of a fitted model names. log → one
    of blend, anscombe and root: RNA→ADT of bmmc 0.660 → 0.677, back 0.694 → 0.715, FOSCTTM 0.065 → 0.053, 0.055. Of
    several data sets genes are coded as logs; instead of the chosen one, preset fast, one seed, models of four of five
    sets asked about the fifth: FOSCTTM of bmmc 0.076 → 0.060, panel224 0.066 → 0.066, pbmc10k 0.084 → 0.082, teaseq
    0.103 → 0.106, bremsc 0.106 → 0.106; RNA→ADT 0.422 → 0.409, 0.407 → 0.408, 0.693 → 0.705, 0.542 → 0.544, 0.827 →
    0.823; ADT→RNA of bmmc 0.128 → 0.159, of the others +0.000 to +0.003."""
    overdispersion: float = Field(0.01, ge=0, le=LARGE)
    """Of counts, variance beyond Poisson over the squared mean, that residuals take for noise. 0, 0.01, 0.1: FOSCTTM of
    the linear path of bmmc 0.78, 0.77, 0.81 of that of logs, of teaseq 0.95, 0.96, 0.98."""
    max_residual: float = Field(10.0, gt=0, le=LARGE)
    """Largest residual. 10, 17, 30 with Anscombe's: FOSCTTM of the linear path of spleen_lymph 0.83, 0.96, 0.98 of that
    of logs, of panel224 0.92, 0.97, 0.98, of bmmc 0.79, 0.77, 0.78."""
    max_depth_correlation: float = Field(0.5, ge=0, le=1)
    """A component of chromatin codes whose correlation with log depth within batches exceeds this is dropped, as it
    measures sequencing depth. Untested."""
    max_loo_shrinkage: float = Field(0.95, ge=0, lt=1)
    """Largest shrinkage of leave-one-out codes, as fraction of a code. A bound against division by zero; untested."""
    imputation_passes: int = Field(3, ge=0, le=1000)
    """Passes in which the values that a batch did not measure are replaced by their expectation before directions are
    found again. 0, 1, 3, 8: error on 40 proteins of bmmc that one batch lost 1.07, 1.05, 1.04, 1.03 times that of whole
    data."""
    n_clusters: int = Field(20, ge=1, le=10_000)
    """Clusters of training codes, by which the offset of a new batch is told from its composition. Untested."""
    min_cluster_cells: int = Field(10, ge=1, le=MANY)
    """Training cells for each of them; with fewer there are fewer clusters. Untested."""
    n_clustered_cells: int = Field(3000, ge=2, le=MANY)
    """Training cells behind the clusters, and cells of a new batch that are compared with them. Bounds the cost."""
    offset_shares: Fractions = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Shares of the mean of a new batch to select from for its offset. (1,) → these: RMSE of RNA→ADT of one to three of
    five cell types of a new batch of pbmc10k 0.543 → 0.366, as of a known batch 0.366; pbmc10k → teaseq the same."""
    gains: bool = True
    """Whether proteins of a batch are brought to the deviations that cells of its kinds have in training, where
    antibodies answer otherwise."""
    gain_prior_cells: float = Field(20.0, gt=0, le=LARGE)
    """Cells that a factor of 1 counts as much as. Untested."""
    scale_powers: Amounts = (0.0, 0.5, 1.0)
    """Powers of the factors under which codes of a batch deviate as those of training cells of its kinds, to select
    from, where features have no gains. (0,) switches them off."""
    guide_weights: Amounts = (0.0, 0.5, 1.0)
    """Weights of what an earlier model says of a modality, next to the modality's own codes, to select from by how well
    left-out cells are predicted. (0,) → these, a model of pbmc10k before 100 cells of another set, preset fast, one
    seed: RNA→ADT of teaseq 0.513 → 0.551, bmmc 0.621 → 0.661, panel224 0.365 → 0.374; FOSCTTM 0.118 → 0.084,
    0.062 → 0.049, 0.062 → 0.062; ADT→RNA 0.067 → 0.063, 0.286 → 0.283, 0.256 → 0.247."""
    batch_prior_cells: float = Field(20.0, gt=0, le=LARGE)
    """A new batch's mean counts as much as this many cells at the modality's mean, so that a batch of one cell keeps
    its content. Untested."""
    svd_passes: int = Field(3, ge=1, le=1000)
    """Passes of the block Krylov iteration behind the codes. Untested."""
    svd_oversampling: int = Field(8, ge=0, le=4096)
    """Directions that it follows in addition to those that become codes. Untested."""


class CompletionConfig(_Frozen):
    """What cells in which not all was measured are completed by: a joint Gaussian of what was."""

    max_features: int = Field(500, ge=0, le=MANY)
    """Features up to which a modality is completed so, as panels of proteins are; one with more is completed by its
    leading directions alone. Bounds the cost, which grows with their cube."""
    noise: float = Field(0.05, gt=0, le=LARGE)
    """Noise that columns are read with, as a fraction of their mean variance. Codes completed by themselves → by all
    modalities at 0.02, 0.05 → 0.2; four of five sets asked about panel224, whose 224 proteins few of their cells
    measured, preset fast, one seed: RNA→ADT 0.304 → 0.426, 0.429 → 0.393, FOSCTTM 0.086 → 0.076, 0.071 → 0.076; bmmc
    0.427 → 0.412 (0.05) → 0.420, 0.079 → 0.077 → 0.075. Directions of values imputed by the leading directions → of
    the Gaussian, all five sets: RNA→ADT of bmmc 0.409 → 0.462, panel224 0.408 → 0.467, pbmc10k 0.705 → 0.705, teaseq
    0.544 → 0.533, bremsc 0.823 → 0.815; FOSCTTM 0.060 → 0.065, 0.066 → 0.065, 0.082 → 0.081, 0.106 → 0.102, 0.106 →
    0.114."""
    passes: int = Field(100, ge=0, le=1_000_000)
    """Passes of expectation maximisation. 30 → 100, 100 → 300, at other noise: RNA→ADT of panel224 0.360 → 0.372, 0.408
    → 0.416."""


class LinearPathConfig(_Frozen):
    """Probabilistic CCA."""

    shrinkage: float = Field(0.3, gt=0, le=LARGE)
    """Fraction of a view's mean variance added to each of its variances; from 0.01 to 3 no figure moved by 2 %."""
    n_folds: int = Field(5, ge=2, le=10_000)
    """Folds behind the cross-validated canonical correlations. Untested."""
    min_fold_cells: int = Field(4000, ge=1, le=MANY)
    """Cells that are divided into folds, over all repeats: where cells are few, one division is noisy. Spread of
    FOSCTTM of bmmc_cite over seeds 0.0051 → 0.0031."""
    max_repeats: int = Field(10, ge=1, le=10_000)
    """Most such divisions. Untested."""
    correlation_range: Range = (1e-3, 0.99)
    """Canonical correlations are clipped to this range. Untested."""
    min_variance: float = Field(1e-4, gt=0, le=LARGE)
    """Variance of a variate below which its direction says nothing, where 1 is that of a direction that shrinkage
    leaves alone. A bound against division by zero; untested."""
    min_cells_of_decoder: int = Field(3000, ge=0, le=MANY)
    """Training cells from which on decoders start from the loadings of the linear path, which overfit where cells are
    few; with fewer cells, and where few of them measured some of the features, the networks decode alone. Without them:
    RNA→ADT of four small sets +0.003 to +0.010, of pbmc10k 0.8662 → 0.8623; of unions asked about a data set of another
    laboratory, fast, one seed, FOSCTTM of panel224 0.071 → 0.066, teaseq 0.107 → 0.103, bremsc 0.108 → 0.106, bmmc
    0.077 → 0.076, pbmc10k 0.080 → 0.084, RNA→ADT 0.429 → 0.407, 0.528 → 0.542, 0.826 → 0.827, 0.412 → 0.422, 0.698 →
    0.693."""


class KernelConfig(_Frozen):
    """Kernel ridge and the other closed-form terms of a prediction."""

    ridges: Penalties = (0.3, 1.0, 3.0)
    """Penalties of the kernel ridge to select from, on left-out cells; (1,) is that of the 2021 winner."""
    sharpnesses: Penalties = (0.5, 1.0, 2.0, 4.0)
    """Inverse squared lengths of the kernel to select from with them, in units of the winner's. (1,) and ridges (1,) →
    these, preset fast, one seed: RNA→ADT of bmmc 0.644 → 0.648 and back 0.685 → 0.690, panel224 0.364 → 0.364 and
    0.386 → 0.388, teaseq 0.590 → 0.593, bremsc 0.887 → 0.889; ADT→RNA 0.270 → 0.275, 0.347 → 0.347, 0.278 → 0.282,
    0.304 → 0.306, 0.112 → 0.112, 0.088 → 0.089."""
    n_selecting: int = Field(1000, ge=5, le=MANY)
    """Cells that select. Bounds the cost."""
    n_landmarks: int = Field(1500, ge=2, le=MANY)
    """Landmark cells; up to as many cells the regression is exact. Bounds the cost."""
    max_cells: int = Field(20_000, ge=2, le=MANY)
    """Most cells that the kernel is fitted to. Bounds the cost."""
    jitter: float = Field(1e-4, ge=0, le=LARGE)
    """Added to the diagonal with landmarks, per cell. Untested."""
    weights: Fractions = (0.0, 0.25, 0.5)
    """Weights of the kernel to select from on the validation cells. None → these: ADT→RNA of pbmc10k 0.2200 →
    0.2222, RNA→ADT of spleen_lymph 0.539 → 0.549."""
    initial_weight: float = Field(0.25, ge=0, le=1)
    """Weight before the selection, and without validation cells. Untested."""
    depth_ridge: float = Field(0.02, gt=0, le=LARGE)
    """Penalty per cell of the expected depth. Untested; with the term, RNA→ATAC AUROC of cortex
    0.579 → 0.612."""
    min_pairs: int = Field(5, ge=2, le=MANY)
    """Paired cells below which nothing is fitted to a pair of modalities. Untested."""
    shrinkage_strengths: Fractions = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
    """Strengths of the shrinkage of log odds to select from on the validation cells. Untested."""
    shrinkage_priors: Amounts = (0.0, 1.0, 4.0, 16.0, 64.0)
    """Priors of the shrinkage, in cells, to select from. Untested."""
    initial_shrinkage: tuple[_Fraction, _Amount] = (0.5, 4.0)
    """Strength and prior before the selection, and without validation cells. Untested."""
    baseline_penalties: Penalties = (1.0, 10.0, 100.0, 1e3, 1e4)
    """Penalties of the ridge that `evaluate` compares predictions with, one of which leaves the least error on left-out
    cells. They enter no prediction. Untested."""


class ValidationConfig(_Frozen):
    """Validation cells: training cells set aside to stop training, to select weights, and to calibrate."""

    fraction: float = Field(0.1, ge=0, lt=1)
    """Of the paired training cells; 0 for none. Untested."""
    min_cells: int = Field(60, ge=0, le=MANY)
    """At least as many, as long as `max_fraction` allows. Untested."""
    max_fraction: float = Field(0.2, gt=0, lt=1)
    """At most this fraction. Untested."""
    max_cells: int = Field(4000, ge=1, le=MANY)
    """At most as many, of each batch its share. Bounds the cost, which grows with their square, as each is ranked among
    all of its batch."""
    drop_below: int = Field(5, ge=1, le=MANY)
    """With fewer cells than this to spare there are none. Untested."""
    n_features: int = Field(300, ge=1, le=MANY)
    """Features with the most counts of a modality, on which a prediction is scored. Bounds the cost."""
    n_style_cells: int = Field(1000, ge=1, le=MANY)
    """Training cells behind the mean styles, spread evenly over the batches. Bounds the cost of an evaluation."""
    linear_weights: Fractions = (0.2, 0.5, 0.8)
    """Weights of the linear path, of which the best one scores matching while the networks train: the linear path can
    compensate what they lose in matching while they still gain in prediction. Instead of
    0.2 alone: RNA→ADT of bmmc, panel224, spleen_lymph 0.6328 → 0.6339, 0.3586 → 0.3619, 0.5553 → 0.5611."""
    n_pairs: int = Field(1500, ge=2, le=MANY)
    """Pairs behind the temperatures of matching. Bounds the cost."""
    n_pairs_of_linear_weight: int = Field(1000, ge=2, le=MANY)
    """Pairs behind the weight of the linear path. Bounds the cost."""
    min_coding_cells: int = Field(300, ge=2, le=MANY)
    """Validation cells from which on they choose the codings of `PreprocessingConfig.codings`; where they are fewer,
    folds of the training cells do, until as many cells were held out. Untested."""
    coding_margin: float = Field(1.5, ge=0, le=LARGE)
    """Standard errors by which a coding has to be better than those named before it. 0, 1, 1.5: of six seeds, two, one
    and none give all of pbmc10k a coding other than blend, which costs 0.02 of RNA→ADT on teaseq; the choices on eleven
    other sets stay as they are."""
    n_coding_folds: int = Field(5, ge=2, le=10_000)
    """Folds that training cells are divided into for that. Untested."""
    n_coding_cells: int = Field(6000, ge=2, le=MANY)
    """Training cells by which codings are chosen. Bounds the cost."""
    n_shrinkage_cells: int = Field(250, ge=2, le=MANY)
    """Cells behind the shrinkage of log odds. Bounds the cost."""
    n_shrinkage_features: int = Field(3000, ge=1, le=MANY)
    """Features behind it. Bounds the cost."""
    min_embedding_cells: int = Field(200, ge=2, le=MANY)
    """Validation cells from which on they serve for the embedding and for novelty, because codes of training cells are
    overfitted. With fewer, training cells as if left out. Untested."""


class MatchingConfig(_Frozen):
    """From similarities to match probabilities."""

    initial_beta: float = Field(10.0, gt=0, le=LARGE)
    """Inverse temperature where validation cells are too few to fit one: probabilities are then scores.
    Untested."""
    beta_range: Range = (0.1, 1000.0)
    """Range of the inverse temperature to select from on the validation cells. Untested."""
    max_linear_beta: float = Field(300.0, gt=0, le=LARGE)
    """Most that either similarity is multiplied by when the weight of the linear path is selected. Untested."""
    min_linear_weight: float = Field(0.3, ge=0, le=1)
    """Least weight of the linear path when it is selected: validation cells are of the laboratories of training, and
    what networks add to it is worth less in others. 0 → 0.3: FOSCTTM of pbmc10k 0.0359 → 0.0365, of a model of
    pbmc10k asked about teaseq 0.134 → 0.117, bmmc 0.088 → 0.085, bremsc 0.120 → 0.117, panel224 0.077 → 0.073."""
    shift_decay: float = Field(1.5, ge=0, le=LARGE)
    """How fast probabilities become flatter as cells were measured less like those of training: by exp(−decay · sum of
    the shifts of both sides). 0 → 1.5: calibration error of models of one laboratory asked about others, 11 pairs of
    pbmc10k, bmmc, panel224, teaseq and bremsc, 0.024–0.115 → 0.002–0.019; about new donors and libraries of their own
    laboratory 0.036 and less, as before."""
    min_beta_factor: float = Field(0.25, gt=0, le=1)
    """The flattest that it makes them. 0.4 → 0.25, on the same pairs: calibration error 0.006–0.086 → 0.002–0.019,
    match probability of pbmc10k asked about teaseq 0.0063 → 0.0060."""
    depth_weights: Amounts = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    """Weights of depth to select from on the validation cells, each with its own inverse temperature. Untested."""
    depth_beta_factor: float = Field(3.0, gt=1, le=LARGE)
    """Factor around the inverse temperature without depth in which that with depth is searched. Untested."""
    max_depth_correlation: float = Field(0.95, ge=0, lt=1)
    """Correlation of the log depths of partners above which depth gains no more weight. Untested."""
    n_candidates: int = Field(200, ge=1, le=MANY)
    """Nearest cells from either side that may be partners, when temperatures are fitted and when cells are matched.
    Bounds the cost."""
    n_anchors: int = Field(1000, ge=2, le=MANY)
    """Most training cells of a side by which similarities are normalised. 300, 1,000, 2,500: FOSCTTM of pbmc10k
    0.0362, 0.0359, 0.0357, of cortex 0.1048, 0.1042, 0.1041."""
    min_paired_anchors: int = Field(50, ge=2, le=MANY)
    """Paired cells below which all cells of either side are anchors. Untested."""


class UncertaintyConfig(_Frozen):
    """Intervals and novelty."""

    n_draws: int = Field(16, ge=2, le=1000)
    """Draws behind the spread of an interval: as many when widths are fitted as when they are used. Untested."""
    across_data_sets: bool = False
    """Whether intervals of a model of three data sets or more are as wide as errors on each of them of a model of the
    others: they then hold in other laboratories, at the price of one more fit for each data set. A model of four
    sets asked about bremsc, preset default, one seed: coverage of 0.9 on its proteins 0.86 (preset fast) → 0.98."""
    n_cells_of_data_set: int = Field(1000, ge=10, le=MANY)
    """Most cells of a data set whose errors are looked at. Untested."""
    min_interval_cells: int = Field(10, ge=2, le=MANY)
    """Validation cells below which there are no intervals of a direction. Untested."""
    min_batch_cells: int = Field(100, ge=2, le=MANY)
    """Cells that a training batch needs to have widths of its own: n cells cover up to 1 / (n + 1) too much.
    20 → 100: coverage of 0.9 on bmmc_cite 0.942 → 0.906."""
    min_group_cells: int = Field(20, ge=2, le=MANY)
    """The same for a group named in `calibrate`. Untested."""
    novelty_quantile: float = Field(0.95, gt=0, lt=1)
    """Fraction of cells like those of training that lie within novelty 1; it defines the unit, untested."""
    novelty_folds: int = Field(5, ge=2, le=10_000)
    """Folds in which the novelty of training cells is measured by a Gaussian of others. Untested."""


class EmbeddingConfig(_Frozen):
    """The space that modalities share; see `MomentAlignment`."""

    moment_ridge: float = Field(0.1, gt=0, le=LARGE)
    """Fraction of the mean variance added to every direction, so that one without variance is left as it is. 0.1 →
    0.003: no difference in ranks or in mixing on pbmc10k, cortex and bmmc."""
    min_moment_cells: int = Field(20, ge=2, le=MANY)
    """Cells below which modalities are not aligned. Untested."""
    filled_fraction: float = Field(0.95, gt=0, le=1)
    """Fraction of the cells whose vectors are extended to one length. 0.9 → 0.95: FOSCTTM by cosine of pbmc10k
    0.0343 → 0.0341, of cortex 0.0788 → 0.0785; but the other modality among 15 neighbours 0.18 → 0.16, 0.39 → 0.38."""
    n_directions: int = Field(64, ge=1, le=4096)
    """Coordinates of a modality for that extension. 16, 32, 64: the other modality among 15 neighbours of pbmc10k 0.10,
    0.13, 0.16, of cortex 0.29, 0.34, 0.38."""
    direction_bandwidth: float = Field(0.1, gt=0, le=LARGE)
    """Distance of content vectors beyond which the directions of two cells have little in common. Untested."""


class SelfTrainingConfig(_Frozen):
    """Cells without labels that a first fit matches one to one, and that are pairs in a second."""

    matches: bool = True
    """Whether cells without labels are matched. As cells of one modality each → matched, donors whose two sides were
    the same cells, preset default: RNA→ADT of bmmc 0.685 → 0.721, 0.723 → 0.772, panel224 0.393 → 0.453, ADT→RNA
    0.314 → 0.341, 0.388 → 0.413, 0.320 → 0.373, FOSCTTM 0.059 → 0.054, 0.061 → 0.049, 0.072 → 0.055."""
    prior_unmatched: float = Field(0.02, gt=0, lt=1)
    """Prior fraction of the smaller side that lacks its partner. Untested."""
    min_matched: float = Field(0.6, ge=0, le=1)
    """Fraction of the smaller side that must have a partner; with less the sides hold other kinds of cells, and matches
    would join what is unlike. Sides of the same kinds 0.75 or more, of four sets; sides that share none 0.2 to 0.5 on
    three of them, whose RNA→ADT matches would lower by 0.01 to 0.17, and 0.9 on spleen_lymph."""
    max_cells: int = Field(5000, ge=2, le=MANY)
    """Most cells of a side that are matched, drawn at random. Bounds the cost."""


class FitConfig(_Frozen):
    """All choices of one fit. Made by `FitConfig.preset`, with the fields to change.

    Examples:
        >>> import unisono as un
        >>> config = un.FitConfig.preset("fast", seed=1, architecture={"content_dim": 16})
        >>> config.n_members, config.seed, config.architecture.content_dim
        (1, 1, 16)
        >>> un.FitConfig.model_validate_json(config.model_dump_json()) == config
        True

        `un.fit(mdata, config=config)` takes it. What is no choice is refused:

        >>> un.FitConfig.preset("fast", n_member=3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        pydantic_core._pydantic_core.ValidationError: 1 validation error for FitConfig
        n_member
          Extra inputs are not permitted ...
    """

    seed: int = Field(0, ge=0, le=2**63 - 1)
    """Of every draw of the fit: 1 CPU gives equal weights for equal seeds."""
    n_members: int = Field(3, ge=1, le=1000)
    """Networks in the ensemble, trained together as one batched network. Bounds the cost."""
    n_codes: int = Field(64, ge=2, le=4096)
    """Low-rank features of a view, before the components that follow depth are dropped. Untested."""
    max_features: dict[Text, Annotated[int, Field(ge=1, le=MANY)]] = {}
    """Features of a modality that enter its code, by modality; its own default for those not named (5,000 for rna,
    50,000 for atac), which the config of a fitted model names. Untested."""
    likelihoods: dict[Text, Likelihood] = {}
    """Likelihood of the counts, by modality; its own default for those not named, which the config of a fitted model
    names. adt may be "negative_binomial": RNA→ADT 0.704 → 0.695 on bmmc, 0.362 → 0.360 on panel224."""
    architecture: Architecture = Architecture()
    weights: Weights = Weights()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    completion: CompletionConfig = CompletionConfig()
    linear_path: LinearPathConfig = LinearPathConfig()
    kernel: KernelConfig = KernelConfig()
    validation: ValidationConfig = ValidationConfig()
    matching: MatchingConfig = MatchingConfig()
    uncertainty: UncertaintyConfig = UncertaintyConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    kl_warmup_epochs: int = Field(10, ge=0, le=MANY)
    """Epochs over which the weight of the KL grows to its full value. Untested."""
    thinning: tuple[_Fraction, _Fraction] = (0.2, 1.0)
    """Range of the rate at which counts are kept, drawn for each cell and epoch; (1, 1) switches thinning off. With a
    contrastive weight of 0.3 instead of 1, (0.5, 1) → (0.2, 1): FOSCTTM of bmmc_cite 0.0996 → 0.0846."""
    n_sampled_features: int = Field(64, ge=1, le=MANY)
    """Features of a modality whose likelihood enters a step: bounds the cost of a step whatever the number of peaks.
    128 → 64: no difference beyond the spread, a tenth of the CPU time."""
    max_epochs: int = Field(47, ge=0, le=MANY)
    """60 → 47: RNA→ADT of pbmc10k 0.8669 → 0.866 on validation cells, for the time."""
    patience: int = Field(6, ge=1, le=MANY)
    """Evaluations on validation cells without progress before training stops. Untested."""
    epochs_per_evaluation: int = Field(2, ge=1, le=MANY)
    """Epochs between two evaluations on validation cells. Bounds the cost."""
    max_cells_per_epoch: int = Field(30_000, ge=2, le=MANY)
    """Most cells of an epoch; of more, so many are drawn anew for each. Bounds the cost."""
    max_held_cells: int = Field(60_000, ge=2, le=MANY)
    """Most cells that are held in memory: of more, so many, of each batch its share, are what preprocessors and
    closed-form parts are fitted to and what validates; the networks are trained on all, which are read anew for each
    epoch. Bounds the cost."""
    cells_of_a_run: int = Field(256, ge=1, le=MANY)
    """Neighbours in the file that are drawn together where cells are read anew for each epoch. Bounds the cost: 30,000
    cells of three modalities are read in 4.9 CPU seconds by 64, in 1.9 by 256."""
    batch_size: int = Field(512, ge=2, le=MANY)
    """Cells of a step, on all ranks together: each of several devices computes its share of them. Untested."""
    cells_at_a_time: int | None = Field(None, ge=1, le=MANY)
    """Cells of a step whose networks a device holds at once, for steps of very many cells (gradient caching, Gao et al.
    2021); None for all. Bounds the cost: the gradient is the same up to rounding, and every encoder runs twice."""
    min_steps_per_epoch: int = Field(4, ge=1, le=MANY)
    """Steps of an epoch where cells are few, as long as each has `min_cells_per_step`. FOSCTTM of bmmc_cite 0.0815 →
    0.0799 and 0.0735 → 0.0724."""
    min_cells_per_step: int = Field(64, ge=2, le=MANY)
    """Cells below which a step is not made smaller, see `min_steps_per_epoch`. Untested."""
    learning_rate: float = Field(2e-3, gt=0, le=LARGE)
    """Of AdamW. 2e-3 → 3e-3 with 40 epochs: no gain on pbmc10k."""
    warmup_steps: int = Field(20, ge=1, le=MANY)
    """Steps over which the learning rate grows to its full value. Untested."""
    weight_decay: float = Field(1e-2, ge=0, le=LARGE)
    """Of the matrices of the networks, not of biases, heads or temperatures. Untested."""
    gradient_clip: float = Field(5.0, gt=0, le=LARGE)
    """Largest norm of a gradient. Untested."""
    max_skipped_steps: int = Field(5, ge=2, le=MANY)
    """Steps in a row whose loss is not finite, after which training stops; other fits do not depend on it. Untested."""
    rate_after_divergence: float = Field(0.1, gt=0, le=1)
    """Fraction of the learning rate that is left after two such steps in a row. Untested."""
    averaging_epochs: float = Field(5.0, gt=0, le=LARGE)
    """Epochs that the running mean of the weights looks back over (Polyak averaging). Untested."""
    refit_below: int = Field(3000, ge=0, le=MANY)
    """Training cells below which the model is then fitted anew on all of them, the validation cells too. FOSCTTM of
    bmmc thirds 0.0657 → 0.0575, RNA→ADT 0.685 → 0.702."""
    adapt_learning_rate: float = Field(5e-3, gt=0, le=LARGE)
    """Learning rate of `adapt`. Untested."""

    @model_validator(mode="after")
    def _thinning_is_a_range(self) -> FitConfig:
        low, high = self.thinning
        if not 0 < low <= high <= 1:
            raise ValueError(f"thinning: {self.thinning} is no range of keep rates, expected 0 < low <= high <= 1")
        return self

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> FitConfig:
        """The config of a preset with some fields changed; nested sections may be given as dictionaries.

        Raises:
            ValueError: unknown preset, unknown field or a value out of range.
        """
        if name not in _PRESETS:
            raise ValueError(f"preset {name!r} unknown, expected one of {', '.join(_PRESETS)}")
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
