"""A link to a router: the chapter "Links" of docs/FORMATS.md, seen from the initiator.

Its owner calls `turn` over and over, and takes what came: heads with their attachments, in order, each once. What was
returned counts as released at the next turn, so that nobody is sent more than it takes.
"""

import collections
import hashlib
import os
import re
import time
from pathlib import Path

import zmq
from formats import Refused, chosen, field, le32, le64, part, proto, unproto, verify
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

ROUTER, PUBLISHER, SUBSCRIBER = 1, 2, 3
CONTROL, DATA = 1, 2
HELLO, HELLO_REPLY, HELLO_PROOF, CARRY, ACK, RESET, CLOSE = range(2, 9)
DONE, REPLACED, IDLE, REFUSED = 1, 2, 4, 5
WINDOWS, LARGEST_FRAME = (1 << 20, 8 << 20), 4 << 20
IDLE_S, LOOK_AGAIN_MS = 30.0, 20
LABEL = "securecloud-1 link"


class Replaced(Exception):
    """Another connection has proved the same key: this one does not come back."""


def offer(role, key, nonce, curve_key, *terms):
    numbers = b"".join(field(le64(term)) for term in terms)
    return field(le32(role)) + field(key) + field(nonce) + field(curve_key) + numbers


def cost(head, attachments):
    return len(head) + sum(map(len, attachments)) + 128 + 64 * len(attachments)


def datagram(kind, message):
    return proto(f1=1, **{f"f{kind}": message})


class Link:
    """One side of a link; `on_up` is called whenever one stands anew, and everything before is gone."""

    def __init__(self, endpoint, role, identity, keys, tell):
        self.role, self.identity, self.tell = role, identity, tell
        self.on_up = lambda: None
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, b"\1" + os.urandom(15))
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.curve_key, self.router_curve_key = b"", b""
        if keys:
            self.use_curve(Path(keys).read_text())
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.socket.connect(endpoint)
        self.hello()

    def use_curve(self, text):
        named = dict(reversed(re.findall(r'^(secret|peer) = "(.{40})"$', text, re.MULTILINE)))
        secret, peer = named["secret"].encode(), named["peer"].encode()
        self.socket.curve_secretkey, self.socket.curve_publickey = secret, zmq.curve_public(secret)
        self.socket.curve_serverkey = peer
        self.curve_key, self.router_curve_key = z85.decode(zmq.curve_public(secret)), z85.decode(peer)

    def hello(self):
        """Begins anew."""
        now = time.monotonic()
        self.id, self.stands, self.nonce = None, False, os.urandom(32)
        terms = (*WINDOWS, LARGEST_FRAME)
        self.ours = offer(self.role, self.identity.key, self.nonce, self.curve_key, *terms)
        key = self.identity.key
        hello = proto(f1=self.role, f2=key, f3=self.nonce, f4=self.curve_key, f5=terms[0], f6=terms[1], f7=terms[2])
        self.repeat(datagram(HELLO, hello))
        self.waiting = {CONTROL: collections.deque(), DATA: collections.deque()}
        self.unacknowledged, self.sent, self.charged = collections.deque(), 0, {CONTROL: 0, DATA: 0}
        self.received, self.released, self.taken = 0, {CONTROL: 0, DATA: 0}, {CONTROL: 0, DATA: 0}
        self.due, self.answer, self.gap, self.gap_told = False, 0, False, 0
        self.asked, self.question, self.patience, self.progress = 0, None, 0.2, now
        self.heard, self.spoken = now, now

    def repeat(self, message):
        self.again, self.wait = message, 0.25
        self.again_at = time.monotonic() + self.wait
        self.socket.send(message)

    def send(self, frame_class, head, *attachments):
        self.waiting[frame_class].append((head, attachments))

    def close(self):
        if self.id:
            self.speak(datagram(CLOSE, proto(f1=self.id, f2=b"done", f3=DONE)))
        self.socket.disable_monitor()
        self.socket.close()

    def turn(self):
        """Sends what may be sent, waits a little, returns the frames that came."""
        self.released, frames = dict(self.taken), []
        self.keep_time(time.monotonic())
        if self.stands:
            self.flush()
        wait = LOOK_AGAIN_MS
        while self.socket.poll(wait):
            wait = 0
            try:
                self.take(self.socket.recv_multipart(), frames)
            except (Refused, IndexError, TypeError) as why:
                self.tell("refused", what="datagram", why=str(why))
            if self.taken[DATA] - self.released[DATA] > WINDOWS[1] // 4:
                break
        return frames

    def keep_time(self, now):
        if not self.stands and now >= self.again_at:
            if self.again is None:
                return self.hello()
            self.wait = min(2 * self.wait, 4.0)
            self.again_at = now + self.wait
            self.socket.send(self.again)
        if self.stands and now - self.heard > IDLE_S:
            self.speak(datagram(CLOSE, proto(f1=self.id, f2=b"nothing heard", f3=IDLE)))
            self.end(1.0)
        outstanding = self.unacknowledged or any(self.waiting.values())
        if not outstanding:
            self.progress, self.patience = now, 0.2
        elif self.stands and now - self.progress > self.patience:
            self.asked += 1
            self.question = self.question or (self.asked, self.sent)
            self.progress, self.patience, self.due = now, min(2 * self.patience, 6.4), True
        self.due = self.due or now - self.spoken > IDLE_S / 3
        while self.monitor.poll(0):
            # A connection made anew may lead to a router that knows no link: a word finds that out.
            recv_monitor_message(self.monitor)
            self.due = True

    def end(self, pause):
        self.id, self.stands, self.again, self.again_at = None, False, None, time.monotonic() + pause

    def flush(self):
        for frame_class in (CONTROL, DATA):
            queue = self.waiting[frame_class]
            while queue and self.charged[frame_class] + cost(*queue[0]) <= self.limits[frame_class]:
                head, attachments = queue.popleft()
                self.charged[frame_class] += cost(head, attachments)
                self.sent += 1
                self.unacknowledged.append((self.sent, frame_class, head, attachments))
                self.carry(self.unacknowledged[-1])
        if self.due:
            limits = [self.released[each] + WINDOWS[each - 1] for each in (CONTROL, DATA)]
            asks = self.asked if self.question else 0
            ack = proto(f1=self.id, f2=self.received, f3=limits[0], f4=limits[1], f5=asks, f6=self.answer, f7=self.gap)
            self.speak(datagram(ACK, ack))
            self.due, self.answer, self.gap = False, 0, False

    def carry(self, frame):
        sequence, frame_class, head, attachments = frame
        self.speak(datagram(CARRY, proto(f1=self.id, f2=sequence, f3=frame_class)), head, *attachments)

    def speak(self, *parts):
        self.spoken = time.monotonic()
        self.socket.send_multipart(parts)

    def take(self, parts, frames):
        kind, fields = chosen(parts[0], HELLO)
        if unproto(parts[0])[1] != 1:
            raise Refused("another version of links")
        if kind == HELLO_REPLY and self.id is None and fields[9] == self.nonce:
            return self.prove(fields)
        if kind == CLOSE and (self.id and fields[1] == self.id or fields[4] == self.nonce):
            return self.on_close(fields)
        if self.id is None or fields[1] != self.id:
            return None
        if kind == RESET:
            return self.hello()
        self.heard = time.monotonic()
        if kind in (CARRY, ACK):
            self.on_ack(unproto(part(fields, 4)) if kind == CARRY else fields, kind == ACK or 4 in fields)
            if not self.stands:
                self.stands, self.due = True, True
                self.on_up()
        if kind == CARRY:
            self.on_carry(fields[2], fields[3], parts[1], parts[2:], frames)
        return None

    def prove(self, fields):
        role, key, nonce, curve_key = fields[1], part(fields, 2), part(fields, 3), part(fields, 4)
        if role != ROUTER or curve_key != self.router_curve_key:
            raise Refused("not the router that was called")
        theirs = offer(role, key, nonce, curve_key, fields[5], fields[6], fields[7])
        digest = hashlib.sha256(field(LABEL.encode()) + self.ours + theirs).digest()
        verify(key, part(fields, 8), field(f"{LABEL} acceptor".encode()) + field(digest))
        self.id, self.limits = digest[:16], {CONTROL: fields[5], DATA: fields[6]}
        signature = self.identity.signing.sign(field(f"{LABEL} initiator".encode()) + field(digest))
        self.repeat(datagram(HELLO_PROOF, proto(f1=self.id, f2=signature)))

    def on_close(self, fields):
        code, reason = fields[3], part(fields, 2).decode("utf-8", "replace")
        self.tell("closed", code=code, reason=reason)
        if code == REPLACED:
            raise Replaced(reason)
        self.end(4.0 if code == REFUSED and self.id is None else 1.0)

    def on_ack(self, ack, is_there):
        if not is_there:
            return
        before = (len(self.unacknowledged), *self.limits.values())
        while self.unacknowledged and self.unacknowledged[0][0] <= ack[2]:
            self.unacknowledged.popleft()
        self.limits = {CONTROL: max(ack[3], self.limits[CONTROL]), DATA: max(ack[4], self.limits[DATA])}
        if before != (len(self.unacknowledged), *self.limits.values()):
            self.progress, self.patience = time.monotonic(), 0.2
        if ack[5]:
            self.due, self.answer = True, max(self.answer, ack[5])
        first = self.unacknowledged[0][0] if self.unacknowledged else self.sent + 1
        lost = bool(ack[7]) and first == ack[2] + 1
        if self.question and ack[6] >= self.question[0]:
            lost, self.question = lost or first <= self.question[1], None
        if lost:
            for frame in self.unacknowledged:
                self.carry(frame)

    def on_carry(self, sequence, frame_class, head, attachments, frames):
        self.due = True
        if frame_class not in (CONTROL, DATA) or not sequence:
            raise Refused("a frame without a class or number")
        if sequence == self.received + 1:
            self.received += 1
            self.taken[frame_class] += cost(head, attachments)
            frames.append((head, attachments))
        elif sequence > self.received + 1 and self.gap_told != self.received + 1:
            self.gap, self.gap_told = True, self.received + 1
