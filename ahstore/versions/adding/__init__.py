"""Files of the user into the store: what is asked for, the walk, reading once, the commit made of it."""
