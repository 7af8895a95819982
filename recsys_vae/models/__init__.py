"""Models, one file each: formula and paper in the docstring, a frozen config, a class."""
