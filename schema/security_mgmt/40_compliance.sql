/*
 * Compliance: frameworks, controls, and the proof that they work.
 */
