"""Compiled parts: the loops that no library has, in C++, compiled in the build step for each level of instructions."""
