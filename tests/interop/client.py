"""A subscriber and a publisher of SecureCloud, written from docs/FORMATS.md and proto/securecloud/*.proto alone.

    client.py subscribe --owner OWNER.pub --identity MINE.prv --connect tcp://HOST:PORT --input FILTERS
    client.py publish   --owner OWNER.pub --identity MINE.prv --connect tcp://HOST:PORT --input PUBLICATIONS

It tells what happens as JSON, one event a line, and refuses what the document says is to be refused. It keeps no
journal: a subscriber starts afresh, a publisher holds in memory what is not settled. `formats.py` has the sealed forms,
`link.py` the link. Needs what requirements.txt names.
"""

import argparse
import hashlib
import json
import signal
import sys
import time

from formats import (
    ONCE, Identity, Owner, Reader, Refused, chosen, counter_nonce, derive, encode_block, encode_subscription, field,
    items, le32, le64, part, payload_key, proto, seal, transcript, unseal, varint, verify,
)
from link import CONTROL, DATA, PUBLISHER, SUBSCRIBER, Link, Replaced

PER_ASK, SESSIONS_MAX = 1000, 4
UNCARRIED_S, UNANSWERED_S, UNANSWERED_MAX_S = 1.0, 5.0, 60.0
MATCHES, HEARTBEAT, EXPIRED, REVOKED, SUSPENDED, MISSED = range(6)
ADMITTED, GRANTED = 0, 7
UNREACHABLE, UNKNOWN_DOMAIN = 6, 2


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Party:
    """What a subscriber and a publisher have in common: they attach, ask the owner, and judge its answers."""

    def __init__(self, options, role):
        self.owner, self.identity = Owner(options.owner), Identity(options.identity)
        self.domain = self.owner.domain
        self.requests, self.session_open, self.done, self.what = set(), 0, False, "frame"
        self.ask_at, self.patience = None, UNANSWERED_S
        self.link = Link(options.connect, role, self.identity, options.link_keys, tell)
        self.link.on_up = self.on_up

    def send(self, frame_class, kind, message, *attachments):
        self.link.send(frame_class, proto(**{f"f{kind}": message}), *attachments)

    def request(self, kind, operation):
        sequence = time.time_ns()
        body = b"\1" + field(self.identity.encoded) + le64(sequence) + operation
        signed = transcript("ask", self.domain, self.owner.encoded, body)
        request = self.owner.seal(transcript("ask seal", self.domain), body + self.identity.signing.sign(signed))
        self.requests.add(hashlib.sha256(request).digest())
        self.send(CONTROL, kind, proto(f1=self.domain), request)

    def answer(self, envelope):
        """Opens an answer; returns its session, its verdict, and what follows."""
        signed = self.identity.open(transcript("answer seal", self.domain), envelope)
        body, signature = signed[:-64], signed[-64:]
        reader = Reader(body)
        reader.expect(1)
        key = reader.take(32)
        self.owner.check_authority(key, reader.take(reader.number(4)))
        verify(key, signature, transcript("answer", self.domain, self.identity.encoded, body))
        if reader.take(32) not in self.requests:
            raise Refused("an answer to no request of this program")
        self.ask_at, self.patience = None, UNANSWERED_S
        return reader.number(8), reader.number(1), reader

    def on_state(self, state):
        if part(state, 1) == self.domain:
            tell("state", open=bool(state[2]), session=state[3])
            self.session_open = state[3] if state[2] else 0
            if self.session_open and self.wants(self.session_open):
                self.ask_at = time.monotonic()

    def on_refused(self, refused):
        tell("not_carried", cause=refused[1], what=part(refused, 2).decode("utf-8", "replace"))
        if refused[1] in (UNREACHABLE, UNKNOWN_DOMAIN):
            self.ask_at = time.monotonic() + UNCARRIED_S

    def stop(self, *_):
        self.done = True

    def run(self):
        while not self.done:
            for head, attachments in self.link.turn():
                try:
                    self.take(*chosen(head), attachments)
                except (Refused, IndexError, TypeError) as why:
                    tell("refused", what=self.what, why=str(why))
            if self.ask_at is not None and time.monotonic() >= self.ask_at and self.session_open:
                self.ask_at = time.monotonic() + self.patience
                self.patience = min(2 * self.patience, UNANSWERED_MAX_S)
                self.ask()
            self.finish_round()


class Subscriber(Party):
    def __init__(self, options):
        super().__init__(options, SUBSCRIBER)
        self.filters = [(int(words[1]), encode_subscription(words)) for words, _ in items(options.input)]
        self.sessions, self.covered, self.heard_of, self.unacked = {}, {}, set(), set()
        self.heartbeat_s, self.heard, self.silent = None, 0.0, False

    def wants(self, session):
        return session not in self.sessions

    def on_up(self):
        self.send(CONTROL, 1, proto(f1=self.domain))
        self.unacked.update(self.sessions)
        self.heard = time.monotonic()

    def finish_round(self):
        """Acknowledges what was told, in the order of the sessions, and watches for silence."""
        for session in sorted(self.unacked):
            taken = self.sessions[session]["taken"]
            self.send(CONTROL, 3, proto(f1=self.domain, f2=session, f3=taken))
        self.unacked.clear()
        if self.heartbeat_s and not self.silent and time.monotonic() - self.heard > 2 * self.heartbeat_s + 2:
            self.silent = True
            tell("silent")

    def ask(self):
        for at in range(0, max(len(self.filters), 1), PER_ASK):
            some = self.filters[at : at + PER_ASK]
            left = max(len(self.filters) - at - PER_ASK, 0)
            listed = b"".join(le64(number) + field(subscription) for number, subscription in some)
            self.request(2, b"\1" + bytes([at == 0]) + le64(0) + le32(left) + le32(len(some)) + listed)

    def take(self, kind, message, attachments):
        self.what = {1: "state", 2: "answer", 3: "notice", 4: "not_carried"}.get(kind, "frame")
        if kind == 1:
            self.on_state(message)
        elif kind == 2:
            self.on_answer(attachments[0])
        elif kind == 3:
            self.on_notice(message, *attachments)
        elif kind == 4:
            self.on_refused(message)

    def on_answer(self, envelope):
        session, verdict, reader = self.answer(envelope)
        if verdict != ADMITTED:
            return tell("denied", verdict=verdict)
        delivery, lease, _ = reader.take(32), reader.number(8), reader.number(8)
        reader.expect(1, 2, 3)
        retention, heartbeat = reader.number(8), reader.number(8)
        reader.end()
        if session not in self.sessions:
            key = derive(delivery, "notice", self.domain, le64(session), self.identity.key)
            self.sessions[session] = {"key": key, "taken": 0, "covered": dict(self.covered), "heard": set()}
            for old in sorted(self.sessions)[:-SESSIONS_MAX]:
                del self.sessions[old]
        self.unacked.add(session)
        self.heartbeat_s, self.heard, self.silent = heartbeat / 1000, time.monotonic(), False
        return tell("admitted", session=session, lease=lease, retention=retention, heartbeat=heartbeat)

    def on_notice(self, message, sealed, payloads=b""):
        number, counter = message[2], message[3]
        session = self.sessions.get(number)
        if part(message, 1) != self.domain or session is None:
            raise Refused("a notice of a session without keys")
        if counter <= session["taken"]:
            return
        associated = transcript("notice", self.domain, le64(number), self.identity.key, le64(0), le64(counter))
        reader = Reader(unseal(session["key"], counter_nonce(counter), sealed, associated))
        if counter > session["taken"] + 1:
            tell("missing", session=number, first=session["taken"] + 1, last=counter - 1)
        session["taken"] = counter
        self.unacked.add(number)
        self.heard, self.silent = time.monotonic(), False
        self.read_notice(number, session, reader, message, payloads)

    def read_notice(self, number, session, reader, message, payloads):
        reader.expect(1)
        reader.number(8)
        kind = reader.expect(MATCHES, HEARTBEAT, EXPIRED, REVOKED, SUSPENDED, MISSED)
        if kind == MATCHES:
            publisher, start, counter, origin = reader.take(32), reader.number(8), reader.number(8), reader.origin()
        elif kind == HEARTBEAT:
            floors = [(reader.take(32), reader.origin(), reader.origin()) for _ in range(reader.number(4))]
        elif kind == MISSED:
            tell("missed", batches=reader.number(8), publications=reader.number(8))
        reader.expect(0)
        entries = [self.read_entry(reader) for _ in range(reader.number(4))]
        reader.end()
        if kind == MATCHES:
            scope = (self.domain, le64(number), publisher, le64(start))
            if self.is_new(publisher, origin):
                self.deliver(scope, counter, entries, sizes(message), payloads)
        elif kind == HEARTBEAT:
            self.on_heartbeat(session, floors)
        elif kind != MISSED:
            tell(("expired", "revoked", "suspended")[kind - EXPIRED])

    def read_entry(self, reader):
        return reader.varint(), [reader.varint() for _ in range(reader.varint())], reader.take(32), reader.take(32)

    def is_new(self, publisher, origin):
        covered = self.covered.get(publisher)
        if covered is not None and origin <= covered:
            if origin[0] < covered[0]:
                tell("passed_over", publisher=publisher.hex(), origin=origin)
            return False
        self.covered[publisher] = origin
        return True

    def deliver(self, scope, counter, entries, lengths, payloads):
        index, reader = 0, Reader(payloads)
        if len(entries) != len(lengths):
            raise Refused("not a payload for each entry")
        for (step, ids, key, digest), length in zip(entries, lengths):
            index += step
            sealed = reader.take(length)
            if hashlib.sha256(sealed).digest() != digest:
                tell("refused", what="payload", why="its hash is another", ids=ids)
                continue
            payload = unseal(key, ONCE, sealed, transcript("payload", *scope, le64(counter), le64(index)))
            tell("publication", publisher=scope[2].hex(), ids=ids, payload=payload.decode("utf-8", "replace"))
        reader.end()

    def on_heartbeat(self, session, floors):
        for publisher, floor, taken in floors:
            before = session["covered"].get(publisher)
            if publisher not in session["heard"] and before is not None and before < floor:
                tell("uncovered", publisher=publisher.hex(), first=before, last=floor)
            session["heard"].add(publisher)
            self.covered[publisher] = max(self.covered.get(publisher, taken), taken)
        tell("heartbeat", publishers=[publisher.hex() for publisher, _, _ in floors])


def sizes(message):
    reader, lengths = Reader(part(message, 4)), []
    while reader.at < len(reader.data):
        lengths.append(reader.varint())
    return lengths


class Publisher(Party):
    def __init__(self, options):
        super().__init__(options, PUBLISHER)
        self.start = time.time_ns() // 1_000_000
        lines = list(items(options.input))
        cut = [lines[at : at + options.batch] for at in range(0, len(lines), options.batch)]
        self.kept = dict(enumerate(cut, 1))
        self.keys, self.numbers, self.receipted, self.settled = None, {}, set(), 0
        self.count, self.pairs = len(lines), 0

    def wants(self, session):
        return self.keys is None or self.keys["session"] != session

    def on_up(self):
        self.keys = None
        self.send(CONTROL, 6, proto(f1=self.domain))

    def ask(self):
        number = min(self.kept) - 1
        self.requests.clear()
        self.request(7, b"\4" + le64(self.start) + le64(number))

    def take(self, kind, message, attachments):
        self.what = {3: "receipt", 5: "not_carried", 6: "settled", 7: "state", 8: "answer"}.get(kind, "frame")
        if kind == 3:
            self.on_receipt(message, attachments[0])
        elif kind == 5:
            self.on_refused(message)
        elif kind == 6 and self.is_current(message):
            self.settled = max(self.settled, min(message[4], len(self.numbers)))
        elif kind == 7:
            self.on_state(message)
        elif kind == 8:
            self.on_answer(attachments[0])

    def is_current(self, message):
        keys = self.keys
        return keys and (part(message, 1), message[2], message[3]) == (self.domain, keys["session"], keys["start"])

    def on_answer(self, envelope):
        session, verdict, reader = self.answer(envelope)
        if verdict != GRANTED:
            self.keys = None
            return tell("denied", verdict=verdict)
        start, secret = reader.number(8), reader.take(32)
        reader.end()
        keys = {name: derive(secret, name) for name in ("batch", "receipt", "payload")}
        scope = (self.domain, le64(session), self.identity.key, le64(start))
        self.keys = {"session": session, "start": start, "scope": scope, **keys}
        self.numbers, self.receipted, self.settled = dict(enumerate(sorted(self.kept), 1)), set(), 0
        tell("granted", session=session, start=start)
        for counter, number in self.numbers.items():
            self.publish(counter, number, self.kept[number])
        return None

    def publish(self, counter, number, lines):
        """Seals a batch into the present session; its origin stays what it was."""
        keys, sealed = self.keys, []
        for index, (_, line) in enumerate(lines):
            associated = transcript("payload", *keys["scope"], le64(counter), le64(index))
            sealed.append(seal(payload_key(keys["payload"], counter, index), ONCE, line.encode(), associated))
        block = encode_block([words for words, _ in lines])
        hashes = b"".join(hashlib.sha256(payload).digest() for payload in sealed)
        now = time.time_ns() // 1_000_000
        batch = b"\1" + le64(now) + le64(self.start) + le64(number) + field(block) + hashes
        batch = seal(keys["batch"], counter_nonce(counter), batch, transcript("batch", *keys["scope"], le64(counter)))
        lengths = b"".join(varint(len(payload)) for payload in sealed)
        head = proto(f1=self.domain, f2=keys["session"], f3=keys["start"], f4=counter, f5=lengths)
        self.send(DATA, 4, head, batch, b"".join(sealed))

    def on_receipt(self, message, sealed):
        counter = message[4]
        if not self.is_current(message) or counter not in self.numbers or counter in self.receipted:
            return
        associated = transcript("receipt", *self.keys["scope"], le64(counter))
        reader = Reader(unseal(self.keys["receipt"], counter_nonce(counter), sealed, associated))
        reader.expect(1)
        if reader.number(8) != counter:
            raise Refused("a receipt of another message")
        status, noted, pairs = reader.expect(0, 1, 2, 3), reader.number(4), reader.number(8)
        reader.end()
        self.receipted.add(counter)
        self.pairs += pairs
        tell("receipt", counter=counter, status=status, publications=noted, pairs=pairs)

    def finish_round(self):
        for counter in [each for each in self.receipted if each <= self.settled]:
            if self.kept.pop(self.numbers[counter], None):
                tell("settled", counter=counter)
        if not self.kept:
            tell("published", publications=self.count, pairs=self.pairs)
            self.done = True


def main():
    words = argparse.ArgumentParser(description="A foreign subscriber or publisher.")
    words.add_argument("role", choices=("subscribe", "publish"))
    for name in ("owner", "identity", "connect", "input"):
        words.add_argument(f"--{name}", required=True)
    words.add_argument("--link-keys")
    words.add_argument("--batch", type=int, default=50, help="publications in one batch")
    options = words.parse_args()
    party = (Subscriber if options.role == "subscribe" else Publisher)(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, party.stop)
    try:
        party.run()
    except Replaced as why:
        tell("replaced", why=str(why))
        return 1
    party.link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
