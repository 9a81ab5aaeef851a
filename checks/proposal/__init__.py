"""Proposes settings for a schema: what its tables, policies and grants say of how it is meant.

`compared` finds what policies compare with the session, `inference` what follows from that, `toml`
writes it down with its reasons.
"""
