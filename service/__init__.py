"""The real-time service: recommendations over HTTP."""
