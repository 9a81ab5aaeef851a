"""How the cost of a query grows with the rows of its tables, from databases of several sizes."""
