/*
 * Requests and reviews: how access is asked for, granted and taken back.
 */
