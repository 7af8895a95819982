"""The uvicorn server and its worker processes."""
