/*
 * Samples: increments of the server's statistics between two passes.
 */
