/*
 * The life of an account: joiners, movers and leavers, by hand or by the tenant's directory.
 */
