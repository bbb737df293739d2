"""Upgrade from the first release and back, while both serve."""
