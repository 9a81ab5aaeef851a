"""One module per board: its function `build` gives it, its docstring says what it answers."""
