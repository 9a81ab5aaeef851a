"""What processes of the harness tell of themselves while they work, for one that watches.

Each writes files of its own into a private directory in memory and takes them away at its end; of
one that was killed they are known by its process id and ignored.
"""
