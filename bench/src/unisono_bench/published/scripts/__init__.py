"""Programs that run in the environments of methods, where Unisono is not installed; never imported by this package."""
