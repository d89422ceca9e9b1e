"""The registry of modalities by name: rna, atac, adt, and those a user registers; holds nothing about them itself.

Examples:
    >>> import unisono as un
    >>> un.modalities.registered()
    ('atac', 'rna', 'adt')
    >>> rna = un.modalities.spec_of("rna")
    >>> rna.features, rna.unit, rna.max_features
    ('genes', 'log1p counts per 10,000', 5000)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unisono.config import FitConfig
from unisono.messages import bad_input
from unisono.modalities.adt import ADT
from unisono.modalities.atac import ATAC
from unisono.modalities.rna import RNA
from unisono.modalities.spec import Coding, Known, ModalitySpec
from unisono.types import Modality

__all__ = [
    "Coding",
    "Known",
    "ModalitySpec",
    "check_config",
    "in_order",
    "register",
    "registered",
    "resolved",
    "spec_of",
    "with_codings",
]

_SPECS: dict[Modality, ModalitySpec] = {spec.name: spec for spec in (ATAC, RNA, ADT)}


def register(spec: ModalitySpec) -> None:
    """Make a modality known to this process, before data or models that have it are read.

    One of the same name is replaced.

    Raises:
        ValueError: its name, or a name it goes by in files, belongs to another modality.

    Examples:
        A kind of tags that is handled as surface proteins are, but that no name in a file stands for by itself:

        >>> from dataclasses import replace
        >>> import unisono as un
        >>> adt = un.modalities.spec_of("adt")
        >>> tags = replace(adt, name="tags", level=3, label="tag", features="tags", aliases=(), obsm_key=None)
        >>> un.modalities.register(tags)
        >>> un.modalities.registered()
        ('atac', 'rna', 'adt', 'tags')
    """
    taken = {
        name: other for other in _SPECS.values() if other.name != spec.name for name in (other.name, *other.aliases)
    }
    for name in (spec.name, *spec.aliases):
        if name in taken:
            raise ValueError(f"modality {spec.name}: the name {name!r} belongs to {taken[name].name}")
    _SPECS[spec.name] = spec


def spec_of(name: Modality) -> ModalitySpec:
    """The modality of this name.

    Raises:
        ValueError: none is registered.

    Examples:
        >>> import unisono as un
        >>> adt = un.modalities.spec_of("adt")
        >>> adt.features, adt.unit, list(adt.codings)
        ('proteins', 'per-cell CLR', ['clr'])
    """
    if name not in _SPECS:
        known = ", ".join(registered())
        raise ValueError(
            f"modality {name!r} is not known (known: {known}); register it with unisono.modalities.register"
        )
    return _SPECS[name]


def in_order(names: Iterable[Modality]) -> tuple[Modality, ...]:
    """Modalities in the order of the central dogma: DNA, RNA, protein; those of one level by name.

    Examples:
        >>> import unisono as un
        >>> un.modalities.in_order(["adt", "rna", "atac"])
        ('atac', 'rna', 'adt')
    """
    return tuple(sorted(names, key=lambda name: (spec_of(name).level, name)))


def registered() -> tuple[Modality, ...]:
    """Every known modality, in the order of the central dogma.

    Examples:
        >>> import unisono as un
        >>> un.modalities.registered()
        ('atac', 'rna', 'adt')
    """
    return in_order(_SPECS)


def resolved(config: FitConfig, n_features: Mapping[Modality, int]) -> FitConfig:
    """The config in which every modality of the data is named: its likelihood, its codings, how many features it uses.

    A fit then depends on no default of a modality. `n_features` are those of the data, by modality.

    Examples:
        >>> import unisono as un
        >>> config = un.modalities.resolved(un.FitConfig(), n_features={"rna": 20_000, "adt": 14})
        >>> config.likelihoods, config.max_features  # all proteins enter the code
        ({'rna': 'negative_binomial', 'adt': 'gaussian'}, {'rna': 5000})
        >>> config.preprocessing.codings["adt"]
        ('clr',)
    """
    specs = [spec_of(m) for m in in_order(n_features)]
    limits = {spec.name: spec.max_features or n_features[spec.name] for spec in specs if spec.score is not None}
    likelihoods = {spec.name: spec.likelihood(config) for spec in specs}
    codings = {spec.name: spec.coding_names(config) for spec in specs}
    return with_codings(config, codings).model_copy(
        update={"max_features": limits | config.max_features, "likelihoods": likelihoods | config.likelihoods}
    )


def for_several_data_sets(config: FitConfig, names: Iterable[Modality]) -> FitConfig:
    """The config for several data sets as one: what it leaves open is chosen from what suits other laboratories."""
    codings = {name: across for name in names if (across := spec_of(name).candidates_across) is not None}
    return with_codings(
        config, {name: some for name, some in codings.items() if name not in config.preprocessing.codings}
    )


def with_codings(config: FitConfig, codings: Mapping[Modality, tuple[str, ...]]) -> FitConfig:
    """The config with codings to choose from named for some modalities.

    Examples:
        >>> import unisono as un
        >>> config = un.modalities.with_codings(un.FitConfig(), {"rna": ("log", "pearson")})
        >>> config.preprocessing.codings
        {'rna': ('log', 'pearson')}
    """
    update = {"codings": {**config.preprocessing.codings, **codings}}
    return config.model_copy(update={"preprocessing": config.preprocessing.model_copy(update=update)})


def check_config(config: FitConfig) -> None:
    """Refuse a config whose choices do not suit a modality.

    Raises:
        BadInput: E053 an unknown modality, a likelihood or coding it does not have, or a number of features where all
            enter.

    Examples:
        >>> import unisono as un
        >>> un.modalities.check_config(un.FitConfig(likelihoods={"adt": "negative_binomial"}))
        >>> un.modalities.check_config(un.FitConfig(likelihoods={"rna": "gaussian"}))
        Traceback (most recent call last):
            ...
        unisono.messages.BadInput: E053 config: likelihoods: rna cannot have gaussian. Fix: choose negative_binomial
    """
    codings = config.preprocessing.codings
    fields = {"likelihoods": tuple(config.likelihoods), "max_features": tuple(config.max_features)}
    for field, names in (fields | {"codings": tuple(codings)}).items():
        for name in names:
            if name not in _SPECS:
                what = f"{field}: no modality {name!r}."
                raise bad_input("E053", "config", what, f"name one of {', '.join(registered())}")
    for name, likelihood in config.likelihoods.items():
        if likelihood not in (possible := spec_of(name).likelihoods):
            what = f"likelihoods: {name} cannot have {likelihood}."
            raise bad_input("E053", "config", what, f"choose {' or '.join(possible)}")
    for name, some in codings.items():
        known = tuple(spec_of(name).codings)
        if not some or not set(some) <= set(known):
            what = f"codings: {name} cannot have {', '.join(some) or 'none'}."
            raise bad_input("E053", "config", what, f"choose from {', '.join(known)}")
    for name in config.max_features:
        if spec_of(name).score is None:
            what = f"max_features: all {spec_of(name).features} of {name} enter its code."
            raise bad_input("E053", "config", what, f"leave {name} out")
