"""Plugins' jobs: each runs periodically, in one process of the deployment (decision 0023)."""
