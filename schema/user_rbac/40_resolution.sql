/*
 * Resolution: what an account may do, all things considered.
 */
