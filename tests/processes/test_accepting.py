"""Workers share the listening socket while others start and stop."""

import os
import socket

from pulsecart.processes.function import accepting


def test_a_worker_that_starts_does_not_make_the_others_wait_in_accept() -> None:
    """Fails without ``setblocking`` before the duplicates: the shared socket blocks, and so does a worker's loop."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_blocking(listening.fileno(), False)  # as the loop of a worker that runs has left it
        inherited = socket.socket(fileno=os.dup(listening.fileno()))
        handles = accepting(inherited)
        assert not os.get_blocking(listening.fileno())
        for handle in handles:
            handle.close()
