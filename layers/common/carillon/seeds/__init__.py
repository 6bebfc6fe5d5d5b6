"""The source systems' own routes, each answered by the route of ours that it stands for.

Nothing is decided here: rules, scopes, limits and idempotency are those of our routes
(docs/adr/0008-seed-routes.md).
"""
