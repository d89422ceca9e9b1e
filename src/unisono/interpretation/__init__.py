"""What a fitted model has learnt about features: the effects of source features on target features."""

from unisono.interpretation.feature_effects import FeatureEffects

__all__ = ["FeatureEffects"]
