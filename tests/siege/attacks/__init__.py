"""The attacks, by target. Each is one attempt on one connection."""
