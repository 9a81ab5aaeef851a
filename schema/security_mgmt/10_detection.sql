/*
 * Detection: sources, rules, indicators, events and the alerts that they raise.
 */
