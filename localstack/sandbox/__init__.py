"""The provider sandbox: each provider's wire spoken offline, for development and tests."""
