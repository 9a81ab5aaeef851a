/*
 * People: what is known about a person, how they are reached, where they belong.
 */
