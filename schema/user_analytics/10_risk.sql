/*
 * Risk: policies, scores and the decisions that follow.
 */
