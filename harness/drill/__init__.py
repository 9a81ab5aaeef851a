"""Drills: whether what is meant to bring a database back does, tried before it is needed."""
