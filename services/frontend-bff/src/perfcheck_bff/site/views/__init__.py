"""View models: from what the api answered to what a template shows; pure functions."""
