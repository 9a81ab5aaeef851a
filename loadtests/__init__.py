"""Critical queries, the Locust user that drives them, budgets and the gate."""
