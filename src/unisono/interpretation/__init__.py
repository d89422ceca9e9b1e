"""What a fitted model has learnt about features: effects of source on target features, and where they are enriched."""

from unisono.interpretation.enrichment import Effects, Enrichment, cis_enrichment, cis_pairs

__all__ = ["Effects", "Enrichment", "cis_enrichment", "cis_pairs"]
