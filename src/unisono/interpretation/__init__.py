"""What a fitted model has learnt about features: effects of source on target features, and where they are enriched."""
