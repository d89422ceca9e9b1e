"""Programs that run in the environments of peers, where Unisono is not installed; never imported by this package."""
