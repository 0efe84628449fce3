"""Builds the distribution: `make dist`.

__main__   the command
source     what a distribution is made of, copied out of the checkout
page       the README as an index page shows it
build      the wheel and the source distribution
problem    the one error
"""
