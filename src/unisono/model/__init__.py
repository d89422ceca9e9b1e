"""The fitted model as its users call it: queries read, verbs, saved and loaded."""
