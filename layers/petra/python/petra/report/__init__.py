"""A bundle as one page for people who have to answer for it."""
