// Verifies a keyrite log without keyrite: main DIR VKEY [PROOF...]
// Build: GO111MODULE=off GOPATH=/usr/share/gocode go build main.go (Debian: golang-go, golang-golang-x-mod-dev)
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// p256 is the ECDSA verifier of C2SP signed-note (type 2); x/mod itself has Ed25519 only.
type p256 struct{ name, spki string }

func (k p256) Name() string { return k.name }
func (k p256) KeyHash() uint32 {
	h := sha256.Sum256([]byte(k.spki))
	return binary.BigEndian.Uint32(h[:])
}
func (k p256) Verify(msg, sig []byte) bool {
	key, h := must(x509.ParsePKIXPublicKey([]byte(k.spki))).(*ecdsa.PublicKey), sha256.Sum256(msg)
	return ecdsa.VerifyASN1(key, h[:], sig)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatalln("REFUSED:", err)
	}
	return value
}

func require(ok bool, what string) {
	if !ok {
		log.Fatalln("REFUSED:", what)
	}
}

func main() {
	require(len(os.Args) > 2, "usage: main DIR VKEY [PROOF...]")
	dir, vkey := os.Args[1], os.Args[2]
	var key note.Verifier
	name, rest, _ := strings.Cut(vkey, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	if material := must(base64.StdEncoding.DecodeString(encoded)); len(material) > 0 && material[0] == 2 {
		key = p256{name, string(material[1:])}
	} else {
		key = must(note.NewVerifier(vkey))
	}
	// A checkpoint is a note of three lines: origin, size, root. All are of one log, which the key need not be named after.
	origin := ""
	checkpoint := func(data []byte) tlog.Tree {
		line := strings.Split(must(note.Open(data, note.VerifierList(key))).Text, "\n")
		require(len(line) == 4 && (origin == "" || line[0] == origin), "checkpoint of another log")
		origin = line[0]
		return tlog.Tree{N: must(strconv.ParseInt(line[1], 10, 64)), Hash: must(tlog.ParseHash(line[2]))}
	}
	signed := checkpoint(must(os.ReadFile(filepath.Join(dir, "checkpoint"))))

	// Root: every line of every segment is a leaf.
	var lines int64
	var stored []tlog.Hash
	tree := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, n := range at {
			out = append(out, stored[n])
		}
		return out, nil
	})
	for _, file := range must(filepath.Glob(filepath.Join(dir, "seg", "*.jsonl"))) {
		for rest := must(os.ReadFile(file)); len(rest) > 0; lines++ {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			require(whole, "log ends in the middle of a line")
			// The first line's prev is the SHA-256 of the origin.
			home := fmt.Sprintf(`"prev":"%x"`, sha256.Sum256([]byte(origin)))
			require(lines > 0 || bytes.Contains(line, []byte(home)), "lines of another log")
			stored, rest = append(stored, must(tlog.StoredHashes(lines, line, tree))...), after
		}
	}
	require(lines >= signed.N, "log has fewer lines than were signed")
	require(signed.N == 0 || must(tlog.TreeHash(signed.N, tree)) == signed.Hash, "root of the lines is not the signed one")

	// Consistency: every checkpoint on record is a prefix of the signed one.
	history := bytes.SplitAfter(must(os.ReadFile(filepath.Join(dir, "checkpoints.log"))), []byte("\n\n"))
	for ; len(history) > 1; history = history[2:] {
		older := checkpoint(append(history[0], bytes.TrimSuffix(history[1], []byte("\n"))...))
		if older.N > 0 {
			must(0, tlog.CheckTree(must(tlog.ProveTree(signed.N, older.N, tree)), signed.N, signed.Hash, older.N, older.Hash))
		}
	}

	// Inclusion: every proof file (C2SP tlog-proof, the line as extra data) leads to a signed root.
	for _, file := range os.Args[3:] {
		head, note, _ := strings.Cut(string(must(os.ReadFile(file))), "\n\n")
		part, proof := strings.Split(head, "\n"), tlog.RecordProof{}
		for _, hash := range part[3:] {
			proof = append(proof, must(tlog.ParseHash(hash)))
		}
		line, root := must(base64.StdEncoding.DecodeString(strings.TrimPrefix(part[1], "extra "))), checkpoint([]byte(note))
		index := must(strconv.ParseInt(strings.TrimPrefix(part[2], "index "), 10, 64))
		must(0, tlog.CheckRecord(proof, root.N, root.Hash, index, tlog.RecordHash(line)))
	}
	fmt.Println("OK", origin, "signed", signed.N, "root", signed.Hash, "unsigned", lines-signed.N)
}
