"""A subscriber and a publisher of SecureCloud, written from docs/FORMATS.md and proto/securecloud alone.

    client.py subscribe|publish --owner OWNER.pub --identity MINE.prv --connect ADDRESS --input FILE

With --link-keys FILE it speaks CURVE. It tells what happens as JSON, one event a line. Left out: RSA keys,
`in`, `exists` and escapes in filters, journals, reports on coverage, lost frames (the link begins anew).
"""
import base64, hashlib, json, os, re, signal, struct, sys, time
from collections import defaultdict
import zmq
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from zmq.utils import z85

ROUTER, PUBLISHER, SUBSCRIBER, CONTROL, DATA = 1, 2, 3, 1, 2
WINDOWS, LARGEST_FRAME, LINK = {CONTROL: 1 << 20, DATA: 8 << 20}, 4 << 20, b"securecloud-1 link"
HELLO, HELLO_REPLY, HELLO_PROOF, CARRY, ACK, RESET, CLOSE = range(2, 9)
DONE, REPLACED, IDLE_S, WORD_S, AGAIN_S, UNANSWERED_S, SESSIONS_MAX = 1, 2, 30, 1, 4, 5, 4
NOTICES = "matches", "heartbeat", "expired", "revoked", "suspended", "missed"
REFUSALS = ValueError, InvalidSignature, InvalidTag, LookupError, TypeError  # of what is not as it should be
OPERATORS = "=", "!=", "<", "<=", ">", ">=", "^="
HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
X_WING = b"\1\1\x60\4"

def tell(event, **fields): print(json.dumps({"event": event, **fields}), flush=True)
def sha256(data): return hashlib.sha256(data).digest()
def le(size, number): return number.to_bytes(size, "little")
def field(value): return le(4, len(value)) + value
def fields(*values): return b"".join(field(le(8, each) if isinstance(each, int) else each) for each in values)
def transcript(label, *values): return fields(b"securecloud-1", label.encode(), *values)
def varint(n): return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
def derive(secret, *label): return HKDFExpand(hashes.SHA256(), 32, transcript(*label)).derive(secret)
def nonce(counter): return struct.pack(">IQ", 0, counter)
def cost(head, attachments): return len(head) + sum(map(len, attachments)) + 128 + 64 * len(attachments)
def seal(key, counter, data, context): return AESGCM(key).encrypt(nonce(counter), data, context)
def unseal(key, counter, sealed, context): return AESGCM(key).decrypt(nonce(counter), sealed, context)
def encode_text(word): return (lambda text: le(1, len(text)) + text)(word.strip('"').encode())
def verify(key, *signed): ed25519.Ed25519PublicKey.from_public_bytes(key).verify(*signed)

def proto(message):
    """A message of protobuf, of numbers and bytes; what is empty or 0 is left out."""
    out = b""
    for number, value in message.items():
        if value and isinstance(value, int): out += varint(number << 3) + varint(value)
        elif value: out += varint(number << 3 | 2) + varint(len(value)) + value
    return out

def unproto(data):
    """The fields of a message that are numbers, 0 where there is none, and those that are bytes, likewise."""
    numbers, parts, reader = defaultdict(int), defaultdict(bytes), Reader(data)
    while reader.at < len(data):
        number, kind = divmod(reader.varint(), 8)
        if kind not in (0, 2): raise ValueError("no field of these messages")
        value = reader.varint()
        (parts if kind else numbers)[number] = reader.take(value) if kind else value
    return numbers, parts

class Reader:
    """The bytes of a form, from the first to the last."""
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, count):
        self.at += count
        if self.at > len(self.data): raise ValueError("cut short")
        return self.data[self.at - count : self.at]
    def number(self, size, *allowed):
        value = int.from_bytes(self.take(size), "little")
        if allowed and value not in allowed: raise ValueError(f"{value} is not one of {allowed}")
        return value
    def numbers(self, *sizes): return tuple(map(self.number, sizes))
    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.number(1)
            value |= (byte & 127) << shift
            if byte < 128 and value < 1 << 64: return value
        raise ValueError("a number too long")
    def end(self):
        if self.at != len(self.data): raise ValueError("bytes behind the end")

class Identity:
    """This program's own: a private key file of kind 1."""
    def __init__(self, path):
        self.signing = serialization.load_pem_private_key(open(path, "rb").read(), None)
        seed = hashlib.shake_256(derive(self.signing.private_bytes_raw(), "x-wing of ed25519")).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(seed[64:])
        self.sealing = hpke.MLKEM768X25519PrivateKey(kem, curve)
        self.key, *rest = (each.public_key().public_bytes_raw() for each in (self.signing, kem, curve))
        self.encoded = b"\1" + self.key + b"".join(rest)

class Owner:
    """A domain's owner: a public key file of kind 1."""
    def __init__(self, path):
        blocks = re.findall(r"-----BEGIN [A-Z ]+-----([^-]*)-----END", open(path).read())
        spki, sealing = map(base64.b64decode, blocks)
        self.key = serialization.load_der_public_key(spki).public_bytes_raw()
        kem = mlkem.MLKEM768PublicKey.from_public_bytes(sealing[:1184])
        curve = x25519.X25519PublicKey.from_public_bytes(sealing[1184:])
        self.sealing, self.encoded = hpke.MLKEM768X25519PublicKey(kem, curve), b"\1" + self.key + sealing
        self.domain = sha256(transcript("domain id", b"\1", self.key + sealing))

def items(path):
    """Each line and its words."""
    lines = [line for line in open(path).read().splitlines() if line.strip() and line[0] != "#"]
    return [(line, re.findall(r'"[^"]*"|[<>!^]?=|[<>]|[^\s=<>!^"]+', line)) for line in lines]

def encode_value(word):
    if word[0] == '"': return b"\4" + encode_text(word)
    number = int(word) if re.fullmatch("-?[0-9]+", word) else float(word)
    for tag, size in (b"\1", 1), (b"\2", 2), (b"\3", 4):
        if number == int(number) and -1 << 8 * size - 1 <= number < 1 << 8 * size - 1:
            return tag + int(number).to_bytes(size, "little", signed=True)
    if number != float(number): return b"\6" + number.to_bytes(8, "little", signed=True)
    return b"\0" + struct.pack("<d", number)

def encode_subscription(words):
    out = b"\1" + le(1, len(words[3:]) // 4)
    for name, operator, value in zip(words[4::4], words[5::4], words[6::4]):
        out += encode_text(name) + le(1, OPERATORS.index(operator)) + encode_value(value)
    return out

def encode_block(publications):
    names, headers, count = {}, b"", 0
    for count, words in enumerate(publications, 1):
        headers += le(1, len(words[3:]) // 3)
        for name, value in zip(words[4::3], words[5::3]):
            index = names.setdefault(encode_text(name), len(names))
            headers += bytes([index] if index < 128 else [index & 127 | 128, index >> 7])
            headers += encode_value(value)
    return b"\1" + le(2, len(names)) + b"".join(names) + le(4, count) + headers

class Link:
    """The initiator's side of a link; `on_up` is called when it stands anew, and all from before is gone."""
    def __init__(self, options):
        self.identity = Identity(options["--identity"])
        self.socket = socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, b"\1" + os.urandom(15))
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.curve_key, self.router_curve_key = b"", b""
        if "--link-keys" in options:
            text = open(options["--link-keys"], "rb").read()
            secret, peer = (re.search(b'^%s = "(.*)"' % name, text, re.M)[1] for name in (b"secret", b"peer"))
            socket.curve_secretkey, socket.curve_publickey = secret, zmq.curve_public(secret)
            socket.curve_serverkey, self.router_curve_key = peer, z85.decode(peer)
            self.curve_key = z85.decode(zmq.curve_public(secret))
        socket.connect(options["--connect"])
        self.hello()
    def speak(self, kind, message, *parts):
        self.spoken = time.monotonic()
        self.socket.send_multipart((proto({1: 1, kind: proto(message)}), *parts))
    def hello(self):
        self.id, self.stands, self.nonce = b"", False, os.urandom(32)
        terms = self.ROLE, self.identity.key, self.nonce, self.curve_key, *WINDOWS.values(), LARGEST_FRAME
        self.offer = fields(le(4, self.ROLE), *terms[1:])
        self.speak(HELLO, dict(enumerate(terms, 1)))
        self.waiting, self.charged, self.taken = {CONTROL: [], DATA: []}, [0, 0, 0], [0, 0, 0]
        self.sent, self.acked, self.received, self.due, self.answer = 0, 0, 0, False, 0
        self.heard, self.again_at = self.spoken, self.spoken + AGAIN_S
    def send(self, frame_class, kind, message, *attachments):
        if self.stands:
            self.waiting[frame_class].append((proto({kind: proto(message)}), attachments))
    def turn(self):
        """Sends what it may, waits a little, returns the frames that came; the next turn credits them."""
        if time.monotonic() >= (self.heard + IDLE_S if self.stands else self.again_at):
            self.hello()
        elif self.stands:
            self.flush()
        frames, stood, wait = [], self.stands, 20
        while self.stands == stood and self.socket.poll(wait):
            wait = 0
            try:
                self.take(self.socket.recv_multipart(), frames)
            except REFUSALS as why:
                tell("refused", what="datagram", why=repr(why))
        return frames
    def flush(self):
        for each, queue in self.waiting.items():
            while queue and self.charged[each] + cost(*queue[0]) <= self.limits[each]:
                head, attachments = queue.pop(0)
                self.charged[each] += cost(head, attachments)
                self.sent += 1
                self.speak(CARRY, {1: self.id, 2: self.sent, 3: each}, head, *attachments)
        if self.due or time.monotonic() - self.spoken > WORD_S:
            control, data = (self.taken[each] + WINDOWS[each] for each in (CONTROL, DATA))
            self.speak(ACK, {1: self.id, 2: self.received, 3: control, 4: data, 6: self.answer})
            self.due, self.answer = False, 0
    def take(self, datagram, frames):
        version, kinds = unproto(datagram[0])
        kind, body = kinds.popitem() if version[1] == 1 else (0, b"")
        numbers, parts = unproto(body)
        ours = self.id and parts[1] == self.id
        if kind == HELLO_REPLY and not self.id and parts[9] == self.nonce:
            self.prove(numbers, parts)
        elif kind == CLOSE and (ours or parts[4] == self.nonce):
            tell("closed", code=numbers[3], reason=parts[2].decode("utf-8", "replace"))
            if numbers[3] == REPLACED: sys.exit(1)
            self.id, self.stands, self.again_at = b"", False, time.monotonic() + AGAIN_S
        elif kind == RESET and ours: self.hello()
        elif kind in (CARRY, ACK) and ours:
            self.on_ack(numbers if kind == ACK else unproto(parts[4])[0])
            if kind == CARRY: self.on_carry(numbers[2], numbers[3], datagram[1], datagram[2:], frames)
    def prove(self, numbers, parts):
        if numbers[1] != ROUTER or parts[4] != self.router_curve_key:
            raise ValueError("not the router that was called")
        theirs = fields(le(4, ROUTER), parts[2], parts[3], parts[4], numbers[5], numbers[6], numbers[7])
        digest = sha256(field(LINK) + self.offer + theirs)
        verify(parts[2], parts[8], fields(LINK + b" acceptor", digest))
        self.id, self.limits = digest[:16], [0, numbers[5], numbers[6]]
        proof = self.identity.signing.sign(fields(LINK + b" initiator", digest))
        self.speak(HELLO_PROOF, {1: self.id, 2: proof})
    def on_ack(self, numbers):
        if numbers[2] > self.acked or self.acked == self.sent:
            self.heard = time.monotonic()
        self.acked, self.answer = max(self.acked, numbers[2]), max(self.answer, numbers[5])
        self.limits = [0, max(self.limits[CONTROL], numbers[3]), max(self.limits[DATA], numbers[4])]
        self.due = self.due or self.answer > 0
        if not self.stands:
            self.stands = self.due = True
            self.on_up()
    def on_carry(self, sequence, frame_class, head, attachments, frames):
        if frame_class not in WINDOWS: raise ValueError("a frame without a class")
        self.due = True
        if sequence == self.received + 1:
            self.received = sequence
            self.taken[frame_class] += cost(head, attachments)
            frames.append((head, attachments))
        elif sequence > self.received:
            self.hello()

class Party(Link):
    """What a subscriber and a publisher have in common: they attach, ask the owner, and judge its answers."""
    def __init__(self, options):
        self.owner, self.sessions, self.requests = Owner(options["--owner"]), {}, set()
        self.domain, self.ask_at, self.done = self.owner.domain, None, False
        super().__init__(options)
    def ask(self):
        self.ask_at = time.monotonic() + UNANSWERED_S
        body = b"\1" + field(self.identity.encoded) + le(8, time.time_ns()) + self.operation()
        signed = body + self.identity.signing.sign(transcript("ask", self.domain, self.owner.encoded, body))
        request = X_WING + HPKE.encrypt(signed, self.owner.sealing, transcript("ask seal", self.domain))
        self.requests.add(sha256(request))
        self.send(CONTROL, self.ASK, {1: self.domain}, request)
    def on_answer(self, _numbers, _parts, envelope):
        context = transcript("answer seal", self.domain)
        if envelope[:4] != X_WING: raise ValueError("an envelope of another kind")
        signed = HPKE.decrypt(envelope[4:], self.identity.sealing, context)
        reader = Reader(signed[:-64])
        context = transcript("answer", self.domain, self.identity.encoded, reader.data)
        verify(self.owner.key, signed[-64:], context)
        if reader.take(37) != b"\1" + self.owner.key + bytes(4) or reader.take(32) not in self.requests:
            raise ValueError("an answer to no request of this program")
        (session, verdict), self.ask_at = reader.numbers(8, 1), None
        self.on_keys(session, reader) if verdict == self.VERDICT else tell("denied", verdict=verdict)
    def on_state(self, numbers, _parts):
        tell("state", open=bool(numbers[2]), session=numbers[3])
        self.ask_at = time.monotonic() if numbers[2] and numbers[3] not in self.sessions else None
    def on_not_carried(self, numbers, parts):
        tell("not_carried", cause=numbers[1], what=parts[2].decode("utf-8", "replace"))
    def run(self):
        while not self.done:
            for head, attachments in self.turn():
                what = "frame"
                try:
                    kind, body = unproto(head)[1].popitem()
                    what = self.FRAMES[kind]
                    getattr(self, f"on_{what}")(*unproto(body), *attachments)
                except REFUSALS as why:
                    tell("refused", what=what, why=repr(why))
            if self.ask_at and time.monotonic() >= self.ask_at: self.ask()
            self.finish_round()
        self.speak(CLOSE, {1: self.id, 2: b"done", 3: DONE})

class Subscriber(Party):
    ROLE, ASK, VERDICT = SUBSCRIBER, 2, 0
    FRAMES = {1: "state", 2: "answer", 3: "notice", 4: "not_carried"}
    def __init__(self, options):
        words = [words for _, words in items(options["--input"])]
        filters = [le(8, int(each[1])) + field(encode_subscription(each)) for each in words]
        self.subscribe = b"\1\1" + bytes(12) + le(4, len(filters)) + b"".join(filters)
        self.covered, self.unacked = {}, set()
        super().__init__(options)
    def on_up(self):
        self.send(CONTROL, 1, {1: self.domain})
        self.unacked.update(self.sessions)
    def operation(self): return self.subscribe
    def on_keys(self, session, reader):
        key = derive(reader.take(32), "notice", self.domain, session, self.identity.key)
        lease, _, _, retention, heartbeat, _, _, _ = reader.numbers(8, 8, 1, 8, 8, 1, 8, 8)
        reader.take(40 * reader.number(1, 0, 1, 2, 3))
        reader.end()
        self.sessions.setdefault(session, [key, 0])
        self.sessions = dict(sorted(self.sessions.items())[-SESSIONS_MAX:])
        self.unacked.add(session)
        tell("admitted", session=session, lease=lease, retention=retention, heartbeat=heartbeat)
    def finish_round(self):
        for session in sorted(self.unacked.intersection(self.sessions)):
            self.send(CONTROL, 3, {1: self.domain, 2: session, 3: self.sessions[session][1]})
        self.unacked.clear()
    def on_notice(self, numbers, parts, sealed, payloads=b""):
        session, counter = numbers[2], numbers[3]
        key, taken = self.sessions[session]
        if counter <= taken: return
        associated = transcript("notice", self.domain, session, self.identity.key, 0, counter)
        reader = Reader(unseal(key, counter, sealed, associated))
        if counter > taken + 1: tell("missing", session=session, first=taken + 1, last=counter - 1)
        self.sessions[session][1] = counter
        self.unacked.add(session)
        _, _, kind, scope = reader.number(1, 1), reader.number(8), NOTICES[reader.number(1)], None
        if kind == "matches":
            publisher, (start, batch), origin = reader.take(32), reader.numbers(8, 8), reader.numbers(8, 8)
            if origin > self.covered.get(publisher, (0, 0)):
                self.covered[publisher], scope = origin, (self.domain, session, publisher, start, batch)
        elif kind == "heartbeat":
            heard = [(reader.take(32), reader.numbers(8, 8, 8, 8)[2:]) for _ in range(reader.number(4))]
            self.covered.update((each, max(self.covered.get(each, taken), taken)) for each, taken in heard)
            tell(kind, publishers=[each.hex() for each, _ in heard])
        else:
            tell(kind, batches_and_publications=reader.numbers(8, 8) if kind == "missed" else ())
        reader.number(1, 0)
        sizes, payloads, index = Reader(parts[4]), Reader(payloads), 0
        for _ in range(reader.number(4)):
            index, ids = index + reader.varint(), [reader.varint() for _ in range(reader.varint())]
            key, digest, sealed = reader.take(32), reader.take(32), payloads.take(sizes.varint())
            if scope and sha256(sealed) != digest:
                tell("refused", what="payload", why="its hash is another", ids=ids)
            elif scope:
                payload = unseal(key, 0, sealed, transcript("payload", *scope, index))
                tell("publication", publisher=publisher.hex(), ids=ids, payload=payload.decode())
        reader.end(), payloads.end()

class Publisher(Party):
    ROLE, ASK, VERDICT = PUBLISHER, 7, 7
    FRAMES = {3: "receipt", 5: "not_carried", 6: "settled", 7: "state", 8: "answer"}
    def __init__(self, options):
        lines, size = items(options["--input"]), int(options.get("--batch", 50))
        self.kept = {number: lines[at : at + size] for number, at in enumerate(range(0, len(lines), size), 1)}
        self.start, self.count, self.pairs, self.scope = time.time_ns() // 10**6, len(lines), 0, None
        self.receipted = set()
        super().__init__(options)
    def on_up(self):
        self.sessions, self.scope, self.origins, self.receipted, self.settled = {}, None, {}, set(), 0
        self.send(CONTROL, 6, {1: self.domain})
    def operation(self):
        self.requests.clear()
        return b"\4" + le(8, self.start) + le(8, min(self.kept) - 1)
    def on_keys(self, session, reader):
        start, secret = reader.number(8), reader.take(32)
        reader.end()
        self.sessions = {session: derive(secret, "receipt")}
        self.scope, self.receipted, self.settled = (self.domain, session, self.identity.key, start), set(), 0
        self.origins = dict(enumerate(sorted(self.kept), 1))
        tell("granted", session=session, start=start)
        for counter, number in self.origins.items():
            self.publish(counter, number, derive(secret, "batch"), derive(secret, "payload"))
    def publish(self, counter, number, key, secret):
        """Seals a batch into the present session; its origin stays what it was."""
        sealed, cipher = [], Cipher(algorithms.AES(secret), modes.ECB())
        for index, (line, _) in enumerate(self.kept[number]):
            blocks = b"".join(struct.pack(">QI4s", counter, index, end) for end in (b"key0", b"key1"))
            context = transcript("payload", *self.scope, counter, index)
            sealed.append(seal(cipher.encryptor().update(blocks), 0, line.encode(), context))
        batch = b"\1" + b"".join(le(8, each) for each in (time.time_ns() // 10**6, self.start, number))
        batch += field(encode_block(words for _, words in self.kept[number])) + b"".join(map(sha256, sealed))
        batch = seal(key, counter, batch, transcript("batch", *self.scope, counter))
        sizes = b"".join(varint(len(each)) for each in sealed)
        head = {1: self.domain, 2: self.scope[1], 3: self.scope[3], 4: counter, 5: sizes}
        self.send(DATA, 4, head, batch, b"".join(sealed))
    def is_current(self, numbers):
        return self.scope and (numbers[2], numbers[3]) == (self.scope[1], self.scope[3])
    def on_receipt(self, numbers, _parts, sealed):
        counter = numbers[4]
        if self.is_current(numbers) and counter in self.origins and counter not in self.receipted:
            key, associated = self.sessions[self.scope[1]], transcript("receipt", *self.scope, counter)
            reader = Reader(unseal(key, counter, sealed, associated))
            reader.number(1, 1), reader.number(8, counter)
            status, noted, pairs = reader.numbers(1, 4, 8)
            reader.end()
            self.receipted.add(counter)
            self.pairs += pairs
            tell("receipt", counter=counter, status=status, publications=noted, pairs=pairs)
    def on_settled(self, numbers, _parts):
        self.settled = max(self.settled, numbers[4]) if self.is_current(numbers) else self.settled
    def finish_round(self):
        for counter in [each for each in self.receipted if each <= self.settled]:
            if self.kept.pop(self.origins[counter], None): tell("settled", counter=counter)
        if not self.kept:
            tell("published", publications=self.count, pairs=self.pairs)
            self.done = True

if __name__ == "__main__":
    options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    party = {"subscribe": Subscriber, "publish": Publisher}[sys.argv[1]](options)
    signal.signal(signal.SIGINT, lambda *_: setattr(party, "done", True))
    party.run()
