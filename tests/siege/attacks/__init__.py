"""The attacks, by what they are after. Each is one attempt on one connection."""
