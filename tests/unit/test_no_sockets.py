import socket

import pytest


def test_a_unit_test_that_opens_a_socket_fails() -> None:
    with socket.socket() as client, pytest.raises(pytest.fail.Exception, match="opened a socket"):
        client.connect(("127.0.0.1", 9))
