/*
 * Privacy: what is processed, whose data it is, and what they ask for.
 */
