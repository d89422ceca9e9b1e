"""The report: an evaluation as one page that opens anywhere; computes no score of its own."""
