// Prints roots and proofs of the tree over the entries "0", "1", ... as JSON: main SIZE
package main

import (
	"encoding/json"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

type answer struct {
	Roots       []tlog.Hash
	Inclusion   [][]tlog.RecordProof // [size][index]
	Consistency [][]tlog.TreeProof   // [second][first]
}

func main() {
	size := must(strconv.ParseInt(os.Args[1], 10, 64))
	var stored []tlog.Hash
	tree := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, n := range at {
			out = append(out, stored[n])
		}
		return out, nil
	})
	out := answer{
		Roots:       []tlog.Hash{{}},
		Inclusion:   [][]tlog.RecordProof{{}},
		Consistency: [][]tlog.TreeProof{{}},
	}
	for n := int64(1); n <= size; n++ {
		entry := []byte(strconv.FormatInt(n-1, 10))
		stored = append(stored, must(tlog.StoredHashes(n-1, entry, tree))...)
		out.Roots = append(out.Roots, must(tlog.TreeHash(n, tree)))
		inclusion, consistency := []tlog.RecordProof{}, []tlog.TreeProof{nil}
		for m := int64(0); m < n; m++ {
			inclusion = append(inclusion, must(tlog.ProveRecord(n, m, tree)))
			consistency = append(consistency, must(tlog.ProveTree(n, m+1, tree)))
		}
		out.Inclusion = append(out.Inclusion, inclusion)
		out.Consistency = append(out.Consistency, consistency)
	}
	must(0, json.NewEncoder(os.Stdout).Encode(out))
}
