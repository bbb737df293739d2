"""The server process: uvicorn, its protocol with limits, the log."""
