/*
 * Assignments: who holds a role, where, and under which conditions.
 */
