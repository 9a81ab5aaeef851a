/*
 * Load: scenarios, runs, their results, plans and the baselines to compare with.
 */
