"""Carillon: what every function shares. Imports run one way; see pyproject.toml."""
