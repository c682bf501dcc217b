"""Judges what servers say of themselves: version, persistence, eviction, memory, clock, replicas, latency. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.doctor.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel import Vitals

CLOCK_OFFSET_MS_MAX: Final = 1_000
MEMORY_PART_MAX: Final = 0.8
ROUND_TRIP_MS_MAX: Final = 20.0
FORK_US_MAX: Final = 500_000
FRAGMENTATION_MAX: Final = 2.0
UNCHECKED: Final = "not_checked"
"""Code of the finding that says what could not be looked at."""
FRAGMENTED_BYTES_MIN: Final = 2**28
"""Below this, the ratio says nothing."""


def judge(vitals: Vitals) -> list[Finding]:
    """Return what is wrong with a server."""
    return [finding for check in _CHECKS for finding in check(vitals)]


def facts(vitals: Vitals) -> dict[str, str]:
    """Return what a server is and how it is set, as people read it."""
    info, settings = vitals.info, vitals.settings
    limit = int(info.get("maxmemory", "0"))
    used = _mebibytes(int(info.get("used_memory", "0")))
    where = f"{vitals.node} " if vitals.node else ""
    replicas = info.get("connected_slaves", "0")
    return {
        f"{where}server": f"{_name(info)} {_version(info)}, {info.get('redis_mode', 'standalone')}",
        f"{where}role": f"{_role(info)}, {replicas} replica{'s' * (replicas != '1')}",
        f"{where}persistence": _persistence(info, settings),
        f"{where}memory": f"{used} used, {'no limit' if limit == 0 else _mebibytes(limit) + ' allowed'}",
        f"{where}eviction": info.get("maxmemory_policy", "unknown"),
        f"{where}clock": f"{vitals.clock_offset_ms:+d} ms against this machine's",
        f"{where}round trip": f"{vitals.round_trip_ms:.2f} ms",
    }


def _name(info: dict[str, str]) -> str:
    return "Valkey" if "valkey_version" in info else "Redis"


def _version(info: dict[str, str]) -> str:
    return info.get("valkey_version") or info.get("redis_version", "?")


def _role(info: dict[str, str]) -> str:
    return "replica" if info.get("role") == "slave" else "primary"


def _persistence(info: dict[str, str], settings: dict[str, str]) -> str:
    if info.get("aof_enabled") == "1":
        return f"append-only file, fsync {settings.get('appendfsync', 'not known: CONFIG is forbidden')}"
    if not settings:
        return "no append-only file, snapshots not known: CONFIG is forbidden"
    return f"snapshots ({settings['save']})" if settings.get("save") else "no append-only file"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _finding(vitals: Vitals, code: str, text: str, advice: str, severity: Severity = "problem") -> Finding:
    subject = vitals.node or "server"
    return Finding(kind="server", code=code, subject=subject, text=text, advice=advice, severity=severity)


def _check_persistence(vitals: Vitals) -> Iterator[Finding]:
    info, settings = vitals.info, vitals.settings
    if info.get("aof_enabled") == "0":
        lost = "what was written since the last snapshot" if settings.get("save") else "everything"
        if not settings:
            lost = "everything since the last snapshot, if any is made"
        yield _finding(
            vitals,
            "no_append_only_file",
            f"appendonly is no: a restart of the server loses {lost}",
            "CONFIG SET appendonly yes, and write it into the server's configuration",
        )
    if info.get("aof_enabled") == "1" and settings.get("appendfsync") == "no":
        yield _finding(
            vitals,
            "no_fsync",
            "appendfsync is no: a machine that fails loses what the system had not yet written, often half a minute",
            "CONFIG SET appendfsync everysec (a second at most), or always",
        )
    for name, what in (
        ("aof_last_write_status", "append to its file"),
        ("aof_last_bgrewrite_status", "rewrite its append-only file"),
        ("rdb_last_bgsave_status", "save a snapshot"),
    ):
        if info.get(name, "ok") != "ok":
            advice = "see the server's log; mostly the disk is full, or memory does not suffice for a fork"
            yield _finding(vitals, "disk", f"the server could not {what} ({name}: {info[name]})", advice)
    if info.get("loading") == "1":
        yield _finding(vitals, "loading", "the server is still loading its data", "wait, then look again")


def _check_forbidden(vitals: Vitals) -> Iterator[Finding]:
    """Say what only CONFIG tells, where it is forbidden; the rest is in INFO, and was looked at."""
    if not vitals.settings:
        yield _finding(
            vitals,
            UNCHECKED,
            "CONFIG is forbidden here, so appendfsync (what a failing machine loses), save and timeout were not seen",
            "see them where the server is managed: appendfsync everysec or always, timeout 0; or let this user run "
            "CONFIG GET (what INFO says of persistence, memory and eviction was looked at)",
            "note",
        )


def _check_memory(vitals: Vitals) -> Iterator[Finding]:
    info = vitals.info
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield _finding(
            vitals,
            "eviction",
            f"maxmemory-policy is {policy}: when memory is full, the server deletes parts of workflows",
            "CONFIG SET maxmemory-policy noeviction, and write it into the server's configuration",
        )
    limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    if limit and used > limit * MEMORY_PART_MAX:
        yield _finding(
            vitals,
            "memory",
            f"{used / limit:.0%} of maxmemory is used; at 100% starts are refused",
            "raise maxmemory, shorten the retention of ended workflows, or delete some by headrace cleanup",
        )
    if not limit:
        yield _finding(
            vitals,
            "no_maxmemory",
            "there is no maxmemory: a server that takes all memory is ended by the system",
            "CONFIG SET maxmemory to about two thirds of the machine's memory: then starts are refused before that",
            "note",
        )
    ratio = float(info.get("mem_fragmentation_ratio", "1") or 1)
    if ratio > FRAGMENTATION_MAX and used > FRAGMENTED_BYTES_MIN:
        text = f"memory is fragmented: the process takes {ratio:.1f} times what it uses"
        yield _finding(vitals, "fragmentation", text, "CONFIG SET activedefrag yes, or restart the server", "note")


def _check_clock(vitals: Vitals) -> Iterator[Finding]:
    if abs(vitals.clock_offset_ms) > CLOCK_OFFSET_MS_MAX:
        yield _finding(
            vitals,
            "clock",
            f"the server's clock is {vitals.clock_offset_ms / 1000:+.1f} s off this machine's",
            "set both by NTP: timers follow the server's, times in logs this machine's",
        )


def _check_replicas(vitals: Vitals) -> Iterator[Finding]:
    info = vitals.info
    if info.get("role") == "slave":
        text = "this is a replica, which takes no writes"
        yield _finding(vitals, "replica", text, "give the primary's URL, or redis+sentinel://, which finds it")
    for number in range(int(info.get("connected_slaves", "0"))):
        said = dict(pair.split("=", 1) for pair in info.get(f"slave{number}", "").split(",") if "=" in pair)
        if said.get("state", "online") != "online":
            where = f"{said.get('ip')}:{said.get('port')}"
            advice = "see its log; after a failover to it, what it has not got is lost"
            yield _finding(vitals, "replica_behind", f"the replica {where} is {said['state']}", advice)
    state = vitals.cluster.get("cluster_state", "ok")
    if state != "ok":
        failed = vitals.cluster.get("cluster_slots_fail", "?")
        advice = "redis-cli --cluster check; partitions in these slots stand still until they are served"
        yield _finding(vitals, "cluster", f"the Cluster's state is {state}, {failed} slots are not served", advice)


def _check_latency(vitals: Vitals) -> Iterator[Finding]:
    if vitals.round_trip_ms > ROUND_TRIP_MS_MAX:
        yield _finding(
            vitals,
            "round_trip",
            f"a call takes {vitals.round_trip_ms:.0f} ms from here; a step needs at least two",
            "run workers near the server; see SLOWLOG GET and LATENCY LATEST for what else keeps it busy",
        )
    fork_us = int(vitals.info.get("latest_fork_usec", "0"))
    if fork_us > FORK_US_MAX:
        text = f"its last fork for a snapshot or rewrite stopped the server for {fork_us / 1_000_000:.1f} s"
        yield _finding(vitals, "fork", text, "switch transparent huge pages off; spread data over a Cluster", "note")
    if vitals.settings.get("timeout", "0") != "0":
        text = f"timeout is {vitals.settings['timeout']}: the server closes connections that are idle so long"
        yield _finding(vitals, "idle_timeout", text, "CONFIG SET timeout 0; workers connect again, but later", "note")


_CHECKS: Final[tuple[Callable[[Vitals], Iterator[Finding]], ...]] = (
    _check_persistence,
    _check_forbidden,
    _check_memory,
    _check_clock,
    _check_replicas,
    _check_latency,
)
