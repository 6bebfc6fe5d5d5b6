"""What the same work costs with no product in it: the least that our functions can take."""
