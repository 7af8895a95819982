"""Which index a bundle is to have: kinds measured on its own item vectors and its users' queries."""
