"""One migration of a database at a time, of whatever room.

Alembic has one context for the whole process: two migrations at once would mix their databases.
"""

import threading
from typing import Final

MIGRATING: Final = threading.Lock()
