/*
 * Governance: profile, policies, risks and suppliers (NIST CSF 2.0).
 */
