/*
 * Duties: roles that one person must not hold together, roles lent and roles taken in need.
 */
