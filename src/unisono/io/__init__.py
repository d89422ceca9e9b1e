"""The doors for data: files and MuData in, tables and model folders out; never torch, never a decision of the model."""
