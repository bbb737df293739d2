"""All kinds of faults from which a run draws."""

from faults.database_faults import DiskFull, LockedTable, ReadOnly, TooManyConnections
from faults.fault import Fault
from faults.network_faults import Blackhole, Delay, Mute, Refuse, Stall
from faults.server_faults import (
    ColdStart,
    FastRestart,
    Freeze,
    KillBackend,
    KillPgBouncer,
    KillPostmaster,
    TerminateBackends,
)
from faults.service_faults import KeysDown, KillWorker, ReplaceWorkers, RestartService

KINDS: tuple[type[Fault], ...] = (
    TerminateBackends, KillBackend, KillPostmaster, FastRestart, KillPgBouncer, ColdStart,
    KillWorker, ReplaceWorkers, RestartService, Freeze, Blackhole, Stall, Delay, Mute, Refuse,
    TooManyConnections, ReadOnly, DiskFull, LockedTable, KeysDown,
)  # fmt: skip
