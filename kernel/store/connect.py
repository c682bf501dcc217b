"""Connect: from a URL to where connections come from."""

from __future__ import annotations

from redis.exceptions import RedisError

from kernel.errors import InvalidUrl
from kernel.store.lanes import ClusterConnector, Connector, SentinelConnector, ServerConnector


def connector(url: str) -> Connector:
    """Return the connector for a URL; nothing is connected yet.

    Raises:
        InvalidUrl: the scheme is none of redis, rediss, unix, redis+sentinel, redis+cluster, memory; or no address follows.
    """
    scheme = url.partition("://")[0]
    try:
        match scheme:
            case "redis" | "rediss" | "unix":
                return ServerConnector(url)
            case "redis+sentinel":
                return SentinelConnector(url)
            case "redis+cluster":
                return ClusterConnector(url)
            case "memory":
                # fakeredis takes half a second to import; who has a server should not pay for it.
                from kernel.store.memory_lane import MemoryConnector  # noqa: PLC0415

                return MemoryConnector(url)
            case _:
                raise InvalidUrl(url, f"{scheme!r} is no scheme known here")
    except (ValueError, TypeError, RedisError) as error:
        raise InvalidUrl(url, str(error)) from error
