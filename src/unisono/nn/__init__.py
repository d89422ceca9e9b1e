"""The networks and their objective, in torch; every tensor leads with a member axis, one network an index."""
