"""The 66 ways in which isolation fails, planted one at a time, and which layer sees each; and
sound schemas of other conventions, in which nothing may be found."""
