"""Compiled parts: the loops that no library has, in C++, built for this machine when they are first needed."""
