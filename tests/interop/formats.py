"""The forms of docs/FORMATS.md that a subscriber and a publisher need: protobuf, keys, envelopes, filters, headers.

Whatever comes from outside and is not as the document says raises `Refused`.
"""

import hashlib
import os
import re
import struct
from base64 import b64decode
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, padding, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ONCE = bytes(12)


class Refused(Exception):
    """What came is not what it should be."""


def le16(number):
    return struct.pack("<H", number)


def le32(number):
    return struct.pack("<I", number)


def le64(number):
    return struct.pack("<Q", number)


class Reader:
    """The bytes of a form, from the first to the last."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def origin(self):
        return self.number(8), self.number(8)

    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.number(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise Refused("a number too long")

    def expect(self, *values):
        value = self.number(1)
        if value not in values:
            raise Refused(f"{value} is not one of {values}")
        return value

    def end(self):
        if self.at != len(self.data):
            raise Refused("bytes behind the end")


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def proto(**fields):
    """A message of protobuf: f3=value is field 3. Lists are packed numbers; what is empty or 0 is left out."""
    out = b""
    for name, value in fields.items():
        if isinstance(value, int):
            out += varint(int(name[1:]) << 3) + varint(value) if value else b""
        elif value is not None and (value or isinstance(value, Body)):
            value = b"".join(map(varint, value)) if isinstance(value, list) else value
            out += varint(int(name[1:]) << 3 | 2) + varint(len(value)) + value
    return Body(out)


class Body(bytes):
    """An encoded message, which stands in the one it is a field of even if it is empty."""


class Fields(dict):
    """The fields of a message by number, the last of each; 0 where there is none."""

    def __missing__(self, number):
        return 0


def unproto(data):
    reader, fields = Reader(data), Fields()
    while reader.at < len(data):
        tag = reader.varint()
        number, kind = tag >> 3, tag & 7
        if kind not in (0, 1, 2, 5):
            raise Refused("no protobuf")
        fields[number] = reader.varint() if kind == 0 else reader.take({1: 8, 5: 4}.get(kind) or reader.varint())
    return fields


def part(fields, number):
    return fields[number] or b""


def chosen(data, first=1):
    """The number and the fields of the one field of a `oneof`."""
    fields = unproto(data)
    for number, value in fields.items():
        if number >= first and isinstance(value, bytes):
            return number, unproto(value)
    raise Refused("an empty message")


def field(value):
    return le32(len(value)) + value


def transcript(label, *fields):
    return b"".join(map(field, (b"securecloud-1", label.encode(), *fields)))


def derive(secret, label, *context):
    return HKDFExpand(hashes.SHA256(), 32, transcript(label, *context)).derive(secret)


def seal(key, nonce, plaintext, associated):
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def unseal(key, nonce, sealed, associated):
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise Refused("it does not open") from None


def verify(key, signature, message):
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("a signature does not verify") from None


def counter_nonce(counter):
    return bytes(4) + struct.pack(">Q", counter)


def payload_key(secret, counter, index):
    blocks = b"".join(struct.pack(">QI", counter, index) + end for end in (b"key0", b"key1"))
    return Cipher(algorithms.AES(secret), modes.ECB()).encryptor().update(blocks)


HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
X_WING = struct.pack("<BBH", 1, 1, 1120)


class Identity:
    """This program's own: a private key file with an Ed25519 key."""

    def __init__(self, path):
        self.signing = serialization.load_pem_private_key(Path(path).read_bytes(), None)
        seed = hashlib.shake_256(derive(self.signing.private_bytes_raw(), "x-wing of ed25519")).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(seed[64:])
        self.sealing = hpke.MLKEM768X25519PrivateKey(kem, curve)
        self.key = self.signing.public_key().public_bytes_raw()
        self.encoded = b"\1" + self.key + kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def open(self, context, envelope):
        try:
            if envelope[:4] == X_WING:
                return HPKE.decrypt(envelope[4:], self.sealing, context)
        except (InvalidTag, ValueError):
            pass
        raise Refused("an envelope does not open")


class Owner:
    """A domain's owner: a public key file of either kind."""

    def __init__(self, path):
        blocks = re.findall(r"-----BEGIN ([A-Z ]+)-----([^-]*)-----END \1-----", Path(path).read_text())
        spki, *sealing = [b64decode("".join(text.split())) for _, text in blocks]
        self.public = serialization.load_der_public_key(spki)
        if sealing:
            kem = mlkem.MLKEM768PublicKey.from_public_bytes(sealing[0][:1184])
            curve = x25519.X25519PublicKey.from_public_bytes(sealing[0][1184:])
            self.sealing = hpke.MLKEM768X25519PublicKey(kem, curve)
            kind, key = b"\1", self.public.public_bytes_raw() + sealing[0]
        else:
            self.sealing, pkcs1 = None, serialization.PublicFormat.PKCS1
            kind, key = b"\2", self.public.public_bytes(serialization.Encoding.DER, pkcs1)
        self.encoded, self.domain = kind + key, hashlib.sha256(transcript("domain id", kind, key)).digest()

    def seal(self, context, plaintext):
        if self.sealing:
            return X_WING + HPKE.encrypt(plaintext, self.sealing, context)
        key = os.urandom(32)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), context)
        wrapped = self.public.encrypt(key, oaep)
        return struct.pack("<BBH", 1, 2, len(wrapped)) + wrapped + AESGCM(key).encrypt(ONCE, plaintext, context)

    def check_authority(self, key, certificate):
        """Refuses an Ed25519 key that does not speak for this owner."""
        if self.sealing:
            if certificate or key != self.encoded[1:33]:
                raise Refused("not the owner's key")
            return
        certified = transcript("authority certificate", self.domain, key)
        try:
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            self.public.verify(certificate, certified, pss, hashes.SHA256())
        except InvalidSignature:
            raise Refused("not the owner's certificate") from None


TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{},]|[<>!^]?=|[<>]|[^\s{},=<>!^"]+)')
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "^=", "in", "exists")


def items(path):
    """Each line's words and the line itself."""
    for line in Path(path).read_text("utf-8-sig").splitlines():
        if line.strip() and not line.startswith("#"):
            yield TOKEN.findall(line), line


def text(token):
    def escaped(found):
        return chr(int(found[2], 16)) if found[2] else {"n": "\n", "t": "\t"}.get(found[1], found[1])

    return re.sub(r"\\(u\{([0-9A-Fa-f]+)\}|.)", escaped, token[1:-1]) if token[0] == '"' else token


def encode_name(token):
    name = text(token).encode()
    return bytes([len(name)]) + name


def encode_value(token):
    if token[0] == '"':
        value = text(token).encode()
        return (bytes([4, len(value)]) if len(value) < 256 else b"\5" + le16(len(value))) + value
    number = float(token) + 0.0
    for tag, form, bits in ((1, "<b", 7), (2, "<h", 15), (3, "<i", 31)):
        if number.is_integer() and -(2**bits) <= number < 2**bits:
            return bytes([tag]) + struct.pack(form, int(number))
    return b"\0" + struct.pack("<d", number)


def encode_subscription(words):
    constraints, at = [], 3
    while at < len(words):
        operator = OPERATORS.index(words[at + 2])
        out, at = encode_name(words[at + 1]) + bytes([operator]), at + 3
        if operator < 7:
            out, at = out + encode_value(words[at]), at + 1
        elif operator == 7:
            end = words.index("}", at)
            values = words[at + 1 : end : 2]
            out, at = out + le16(len(values)) + b"".join(map(encode_value, values)), end + 1
        constraints.append(out)
    return bytes([1, len(constraints)]) + b"".join(constraints)


def encode_block(publications):
    names, headers = {}, b""
    for words in publications:
        headers += bytes([len(words[3:]) // 3])
        for name, value in zip(words[4::3], words[5::3]):
            index = names.setdefault(encode_name(name), len(names))
            headers += bytes([index]) if index < 128 else bytes([index & 127 | 128, index >> 7])
            headers += encode_value(value)
    return b"\1" + le16(len(names)) + b"".join(names) + le32(len(publications)) + headers
