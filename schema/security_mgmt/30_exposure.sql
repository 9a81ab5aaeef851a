/*
 * Exposure: assets, their software, its vulnerabilities and what is done about them.
 */
