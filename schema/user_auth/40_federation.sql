/*
 * Federation: signing in by somebody else's word.
 */
