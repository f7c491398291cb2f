"""The servers of the tests, which are no part of the installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import KINDS, USUAL, RedisServer, die_with_parent

__all__ = ["KINDS", "USUAL", "RedisServer", "die_with_parent"]
