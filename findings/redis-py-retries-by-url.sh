#!/usr/bin/env bash
# redis-py 8.1.0 tries again ten times by default, but not if it is made from a URL.
#
# The default is that of `Redis()`; `Redis.from_url()` builds its pool of connections without it. Here a
# server closes the first connections at their first command, as one that is restarted does: the command
# succeeds with the one and raises ConnectionError with the other, in the classes for asyncio as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

import redis
from redis import asyncio as async_redis

CLOSED = 2  # connections that are closed before one answers


class Server:
    """Closes the first connections at their first command, and answers PONG to all on later ones."""

    def __init__(self):
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while line := await reader.readline():
                if self.connections <= CLOSED:
                    break
                for _ in range(int(line[1:])):
                    size = await reader.readline()
                    await reader.readexactly(int(size[1:]) + 2)
                writer.write(b"+PONG\r\n")
        except ConnectionError:
            pass
        finally:
            writer.close()


async def outcome(make, is_async):
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    client = make(listening.sockets[0].getsockname()[1])
    try:
        await (client.ping() if is_async else asyncio.to_thread(client.ping))
    except redis.ConnectionError as error:
        return type(error).__name__, server.connections
    finally:
        await (client.aclose() if is_async else asyncio.to_thread(client.close))
        listening.close()
    return "succeeds", server.connections


async def main():
    print("redis-py", redis.__version__)
    for module, is_async in ((redis, False), (async_redis, True)):
        kind = module.Redis
        plain = await outcome(lambda port: kind(port=port, protocol=2), is_async)
        by_url = await outcome(lambda port: kind.from_url(f"redis://127.0.0.1:{port}", protocol=2), is_async)
        print(f"{kind.__module__}: Redis() {plain}, Redis.from_url() {by_url}")
        assert plain == ("succeeds", CLOSED + 1)
        assert by_url == ("ConnectionError", 1), "the behaviour has changed"


asyncio.run(main())
PYTHON
