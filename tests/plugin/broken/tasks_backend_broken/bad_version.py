"""A plugin with an invalid version."""

from fastapi import APIRouter

from tasks_backend import Plugin

plugin = Plugin("bad-version", {"1.0": APIRouter()})
