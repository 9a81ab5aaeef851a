/*
 * Verification: rules, runs of them, what they looked at and what they found.
 */
