"""Request handling around an endpoint: limits, resources, JSON bodies, problem details."""
