"""The page, served by a thread of this process at a free port, and questions to it as no well-behaved client asks."""

import contextlib
import socket
import threading
import time
from http.client import HTTPConnection

from uvicorn import Config, Server

from loop.serve.access import Access
from loop.serve.app import application


@contextlib.contextmanager
def live(root, most=2, trust=False, token=""):
    """The port at which a folder is served meanwhile."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = Server(Config(application(root, Access.at("127.0.0.1", port, token), most, trust), log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def ask(port, path, method="GET", body=None, headers=()):
    """Status and body of what a path gets, sent as it stands."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=any(k.lower() == "host" for k, _ in headers))
    for name, value in headers:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found
