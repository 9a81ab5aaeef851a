/*
 * Assurance of the audit trail: tampering that was found, records on hold, extracts for auditors.
 */
