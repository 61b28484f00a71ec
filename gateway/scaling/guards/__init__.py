"""What a plan must pass: one question a guard, in the fixed order of :mod:`gateway.scaling.guards.order`."""
