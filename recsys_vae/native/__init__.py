"""Compiled parts: the loops that no library has, in C++, built with the package and chosen by the processor."""
