#!/bin/sh
# Makes a chain of certificates in the shape of AMD's, under a root of its own, with `openssl`: for what no genuine sample shows, such as a
# key that was revoked. Run in this folder; its files are committed, since each run draws new keys. The endorsement key alone is kept.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pss="-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48"
dates="-days 3650"

for name in ark ask; do
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out "$work/$name.key"
done
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/vcek.key"

cat > "$work/extensions" <<END
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[chip]
1.3.6.1.4.1.3704.1.3.1 = ASN1:INTEGER:3
1.3.6.1.4.1.3704.1.3.2 = ASN1:INTEGER:0
1.3.6.1.4.1.3704.1.3.3 = ASN1:INTEGER:8
1.3.6.1.4.1.3704.1.3.8 = ASN1:INTEGER:115
1.3.6.1.4.1.3704.1.4 = DER:$(printf 'a5%.0s' $(seq 64))
END

request() { # name
    openssl req -new -key "$work/$1.key" -subj "/O=SecureCloud test, not AMD/CN=$1" -out "$work/$1.csr"
}
certificate() { # name issuer serial section
    request "$1"
    openssl x509 -req -in "$work/$1.csr" -CA "$2" -CAkey "$work/$(basename "$2" .der).key" -set_serial "$3" \
        -extfile "$work/extensions" -extensions "$4" $pss $dates -outform der -out "$1.der" 2>/dev/null
}
request ark
openssl x509 -req -in "$work/ark.csr" -key "$work/ark.key" -set_serial 1 -extfile "$work/extensions" -extensions authority \
    $pss $dates -outform der -out ark.der 2>/dev/null
certificate ask ark.der 2 authority
certificate vcek ask.der 3 chip

list() { # issuer name serials...
    issuer=$1 out=$2
    shift 2
    : > "$work/index"
    echo 01 > "$work/number"
    for serial in "$@"; do
        printf 'R\t350101000000Z\t261201000000Z\t0%s\tunknown\t/CN=revoked\n' "$serial" >> "$work/index"
    done
    printf '[ca]\ndefault_ca = c\n[c]\ndatabase = %s\nunique_subject = no\ncrlnumber = %s\ncrl_extensions = x\n[x]\n' "$work/index" "$work/number" > "$work/ca.conf"
    openssl ca -config "$work/ca.conf" -gencrl -md sha384 -cert "$issuer.der" -keyfile "$work/$issuer.key" \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -crl_lastupdate 20261201000000Z -crl_nextupdate 20271201000000Z \
        -out "$work/list.pem" 2>/dev/null
    openssl crl -in "$work/list.pem" -outform der -out "$out"
}
list ark none.crl
list ark ask-revoked.crl 2
list ask vcek-revoked.crl 3
openssl pkcs8 -topk8 -nocrypt -in "$work/vcek.key" -outform der -out vcek.key
openssl x509 -inform der -in ark.der -pubkey -noout | openssl pkey -pubin -outform der | sha256sum
