/*
 * Protection and recovery: keys, training, plans, and proof that they work.
 */
