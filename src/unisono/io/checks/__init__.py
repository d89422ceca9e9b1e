"""Checks: one file for each question that is asked of data before they are used; each answers with findings."""
