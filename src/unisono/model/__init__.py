"""The fitted model: networks, voices and styles together, at work on queries, saved and loaded."""
