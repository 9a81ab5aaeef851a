/*
 * Signing in: attempts, lockouts, what sessions do, and the tokens that extend them.
 */
