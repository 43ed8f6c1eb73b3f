"""What a worker does before its first run. It imports nothing that takes time, so that workers are there at once."""

import os
import threading
import time

SECONDS_BETWEEN_LOOKS = 1.0


def end_with_parent(parent: int) -> None:
    """
    Let this process end when its parent does. Workers of loky whose parent was killed would go on for nobody.

    :param parent: Process id of the parent.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
