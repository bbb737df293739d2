"""The process that serves: uvicorn, its protocol with bounds, the log."""
