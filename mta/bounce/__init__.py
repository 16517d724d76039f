"""What bounce(8) is made of; the program itself is :mod:`mta.daemons.bounce`."""
