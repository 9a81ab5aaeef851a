"""The Run document and everything that is rendered from it."""
