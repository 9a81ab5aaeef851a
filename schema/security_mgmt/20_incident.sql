/*
 * Incidents: what was done about them, and the duties to tell others.
 */
