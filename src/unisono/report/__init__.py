"""The report: evidence about a model as one page that opens anywhere; computes no figure of its own."""
