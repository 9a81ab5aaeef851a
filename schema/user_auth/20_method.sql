/*
 * Ways to sign in: what the tenant allows, what an account has enrolled, and its secrets' hashes.
 */
