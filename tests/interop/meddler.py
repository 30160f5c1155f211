"""A carrier between a client and a router that flips a bit of what it carries.

    meddler.py tcp://HOST:PORT WHAT [--once]

WHAT is one of `hello_reply`, `answer`, `notice`, `payload`, `receipt` or `batch`. It tells where it listens, and what it
did, as JSON, one event a line. Links without CURVE prove keys and no more: all that happens here is left to the seals
to find out.
"""

import argparse
import os
import signal
import sys

import zmq
from client import CARRY, HELLO_REPLY, tell, unproto

# The kinds of a frame's head, and the part that is changed.
TO_CLIENT = {"answer": ((2, 8), 2), "notice": ((3,), 2), "payload": ((3,), 3), "receipt": ((3,), 2)}
TO_ROUTER = {"batch": ((4,), 2)}


class Meddler:
    def __init__(self, router, what, once):
        self.context, self.router, self.what, self.once = zmq.Context.instance(), router, what, once
        self.front = self.context.socket(zmq.ROUTER)
        tell("endpoints", endpoints=[f"tcp://127.0.0.1:{self.front.bind_to_random_port('tcp://127.0.0.1')}"])
        self.backs, self.poller = {}, zmq.Poller()
        self.poller.register(self.front, zmq.POLLIN)

    def back(self, route):
        if route not in self.backs:
            socket = self.backs[route] = self.context.socket(zmq.DEALER)
            socket.setsockopt(zmq.ROUTING_ID, route)
            socket.connect(self.router)
            self.poller.register(socket, zmq.POLLIN)
        return self.backs[route]

    def run(self):
        while True:
            ready = dict(self.poller.poll())
            if self.front in ready:
                route, *parts = self.front.recv_multipart()
                self.pass_on(parts, TO_ROUTER, self.back(route).send_multipart)
            for route, socket in list(self.backs.items()):
                if socket in ready:
                    parts = socket.recv_multipart()
                    self.pass_on(parts, TO_CLIENT, lambda sent, to=route: self.front.send_multipart([to, *sent]))

    def pass_on(self, parts, targets, send):
        try:
            send(self.changed(*unproto(parts[0])[1].popitem(), parts, targets))
        except (ValueError, LookupError):
            send(parts)

    def changed(self, kind, body, parts, targets):
        at, place = None, -1
        if self.what == "hello_reply" and kind == HELLO_REPLY:
            at, place = 0, parts[0].index(unproto(body)[1][8])
        elif kind == CARRY and self.what in targets:
            kinds, part = targets[self.what]
            if unproto(parts[1])[1].popitem()[0] in kinds and len(parts) > part:
                at = part
        if at is None or not self.what or not parts[at]:
            return parts
        changed = bytearray(parts[at])
        changed[place] ^= 1
        tell("changed", what=self.what)
        self.what = None if self.once else self.what
        return [*parts[:at], bytes(changed), *parts[at + 1 :]]


def main():
    words = argparse.ArgumentParser(description="A carrier that changes what it carries.")
    words.add_argument("router")
    words.add_argument("what", choices=("hello_reply", *TO_CLIENT, *TO_ROUTER))
    words.add_argument("--once", action="store_true", help="changes the first alone")
    options = words.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    Meddler(options.router, options.what, options.once).run()


if __name__ == "__main__":
    sys.exit(main())
