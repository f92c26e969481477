"""Recovers a PIN from the plaintexts of share files (age -d FILE), without keyrite. Prints the PIN's digits."""
import sys


def product(a, b):
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return result


def quotient(a, b):
    return next(c for c in range(256) if product(b, c) == a)


shares = []
for name in sys.argv[1:]:
    fields = dict(line.split(": ", 1) for line in open(name).read().splitlines()[1:])
    shares.append(bytes.fromhex(fields["value"]))
pin = bytearray(len(shares[0]) - 1)
for share in shares:
    weight = 1
    for other in shares:
        if other is not share:
            weight = product(weight, quotient(other[-1], other[-1] ^ share[-1]))
    for at in range(len(pin)):
        pin[at] ^= product(share[at], weight)
print(pin.hex())
