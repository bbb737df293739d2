"""All checks, in order. None stops another, and each has its own end: all take under 30 seconds."""

import asyncio

from tasks_backend.app import create_app
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.doctor import clocks, database, keys, token
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import Finding, complete, ok, problem
from tasks_backend.doctor.keys import FETCH_TIMEOUT, Published
from tasks_backend.plugin import PluginError, named
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, load

