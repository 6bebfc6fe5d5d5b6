"""Carillon on one machine: an embedded cloud, a provider sandbox, AWS's own template."""
