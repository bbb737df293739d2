"""Authentication: the gate in front of the body, the token rules, the key set."""
