"""postscreen(8): what happens to a client before a real server talks with it."""
