/*
 * Budgets: critical queries, what was promised and what was measured.
 */
