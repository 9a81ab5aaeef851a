"""The truth table of row security: which rows each policy admits, whoever is asked for.

A question puts a table's policies to an evaluator (symbolic.py: from the text alone; server.py:
PostgreSQL itself), row by row and context by context; judgment.py says what the answers mean.
"""
