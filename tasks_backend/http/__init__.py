"""What happens to a request around an endpoint: bounds, the gate's resource, JSON, the problem shape."""
