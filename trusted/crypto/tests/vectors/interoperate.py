"""The formats of sc-crypto, written a second time from docs/FORMATS.md, in Python.

    python3 interoperate.py write > known.txt      computes the known answers that tests/interoperability.rs checks
    python3 interoperate.py check < sealed.txt     opens and verifies what sc-crypto made

Needs `cryptography` 48 or later (for X-Wing and HPKE). The keys are the test keys beside this file.
"""

import base64
import hashlib
import hmac
import pathlib
import struct
import sys

from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, padding, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SUITE = b"securecloud-1"
HERE = pathlib.Path(__file__).parent
DER, RAW = serialization.Encoding.DER, serialization.Encoding.Raw
MODERN, RSA = 1, 2
ONCE = bytes(12)


def field(value):
    return struct.pack("<I", len(value)) + value


def transcript(label, *fields):
    return b"".join(map(field, (SUITE, label.encode(), *fields)))


def u64(number):
    return struct.pack("<Q", number)


def derive(secret, label, *context):
    return HKDFExpand(hashes.SHA256(), 32, transcript(label, *context)).derive(secret)


def extract(label, material):
    return hmac.digest(transcript(label), material, "sha256")


def payload_key(secret, counter, index):
    blocks = b"".join(struct.pack(">QI", counter, index) + end for end in (b"key0", b"key1"))
    return Cipher(algorithms.AES(secret), modes.ECB()).encryptor().update(blocks)


def xwing(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    return hpke.MLKEM768X25519PrivateKey(
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    ), (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key().public_bytes_raw()
        + x25519.X25519PrivateKey.from_private_bytes(expanded[64:]).public_key().public_bytes_raw()
    )


def domain(kind, key):
    return hashlib.sha256(transcript("domain id", bytes([kind]), key)).digest()


def fingerprint(domain_id):
    return "SHA256:" + base64.b64encode(domain_id).decode().rstrip("=")


def pem(label, der):
    text = base64.b64encode(der).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def oaep(label):
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)


class Modern:
    """An Ed25519 identity."""

    def __init__(self, name):
        self.private = serialization.load_pem_private_key((HERE / name).read_bytes(), None)
        self.sealing, sealing_public = xwing(derive(self.private.private_bytes_raw(), "x-wing of ed25519"))
        self.signing = self.private
        self.key = self.private.public_key().public_bytes_raw() + sealing_public
        self.domain = domain(MODERN, self.key)
        spki = self.private.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.public_file = pem("PUBLIC KEY", spki) + pem("SECURECLOUD SEALING KEY", sealing_public)

    def seal(self, context, plaintext):
        sealed = HPKE.encrypt(plaintext, self.sealing.public_key(), context)
        return struct.pack("<BBH", 1, MODERN, 1120) + sealed

    def open(self, context, envelope):
        assert envelope[:4] == struct.pack("<BBH", 1, MODERN, 1120)
        return HPKE.decrypt(envelope[4:], self.sealing, context)

    def certificate(self):
        return b""

    def verify_certificate(self, certificate):
        assert certificate == b""


class Rsa:
    """An RSA identity."""

    def __init__(self, name):
        self.private = serialization.load_pem_private_key((HERE / name).read_bytes(), None)
        pkcs1 = self.private.private_bytes(
            DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        seed = derive(extract("rsa private key", pkcs1), "ed25519 of rsa")
        self.signing = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.key = self.private.public_key().public_bytes(DER, serialization.PublicFormat.PKCS1)
        self.domain = domain(RSA, self.key)
        spki = self.private.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.public_file = pem("PUBLIC KEY", spki)

    def seal(self, context, plaintext):
        key = bytes(range(32))
        wrapped = self.private.public_key().encrypt(key, oaep(context))
        return struct.pack("<BBH", 1, RSA, len(wrapped)) + wrapped + AESGCM(key).encrypt(ONCE, plaintext, context)

    def open(self, context, envelope):
        version, kind, length = struct.unpack("<BBH", envelope[:4])
        assert (version, kind) == (1, RSA)
        key = self.private.decrypt(envelope[4 : 4 + length], oaep(context))
        return AESGCM(key).decrypt(ONCE, envelope[4 + length :], context)

    def certified(self):
        return transcript("authority certificate", self.domain, self.signing.public_key().public_bytes_raw())

    def certificate(self):
        return self.private.sign(self.certified(), PSS, hashes.SHA256())

    def verify_certificate(self, certificate):
        self.private.public_key().verify(certificate, self.certified(), PSS, hashes.SHA256())


IDENTITIES = {"ed25519": Modern("ed25519.prv"), "rsa": Rsa("rsa2048.prv")}
CONTEXT = transcript("test context", b"field")


def write():
    secret = bytes(range(32))
    signed = transcript("test", b"first", b"", u64(0x0123456789ABCDEF))
    answers = {
        "transcript": signed,
        "transcript.sha256": hashlib.sha256(signed).digest(),
        "transcript.sha512": hashlib.sha512(signed).digest(),
        "derive": derive(secret, "test", b"a", b"bc"),
        "extract": extract("test", b"material"),
        "mac": hmac.digest(secret, b"message", "sha256"),
        "aead": AESGCM(secret).encrypt(bytes(4) + struct.pack(">Q", 7), b"plaintext", b"aad"),
        "payload.key": payload_key(secret, 0x0102030405060708, 0x090A0B0C),
        "payload.sealed": AESGCM(payload_key(secret, 0x0102030405060708, 0x090A0B0C)).encrypt(
            ONCE, b"plaintext", b"aad"
        ),
        "xwing.public": xwing(secret)[1],
    }
    for name, identity in IDENTITIES.items():
        answers |= {
            f"{name}.signing": identity.signing.public_key().public_bytes_raw(),
            f"{name}.signature": identity.signing.sign(signed),
            f"{name}.domain": identity.domain,
            f"{name}.fingerprint": fingerprint(identity.domain).encode(),
            f"{name}.public_file": identity.public_file.encode(),
            f"{name}.envelope": identity.seal(CONTEXT, b"sealed elsewhere"),
            f"{name}.certificate": identity.certificate(),
        }
    print("# Known answers: made by interoperate.py, hexadecimal.")
    for name, value in answers.items():
        print(name, "=", value.hex())


def check():
    lines = (line.split(" = ") for line in sys.stdin if not line.startswith("#"))
    sealed = {name: bytes.fromhex(value.strip()) for name, value in lines}
    for name, identity in IDENTITIES.items():
        assert identity.open(CONTEXT, sealed[f"{name}.envelope"]) == b"sealed here"
        identity.verify_certificate(sealed[f"{name}.certificate"])
        print(name, "opens and verifies")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
