// Checks checkpoints, cosignatures and proofs of this project with Go's own sumdb/note and sumdb/tlog.
//
//	inclusion   VKEY PROOF EVENT_HASH_HEX
//	consistency VKEY OLD_NOTE PROOF
//	cosigned    VKEY WITNESS_VKEY NOTE
//
// Exit status 0 where all of it holds, 1 where it does not.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

// head opens a note with the key and takes the size and root from its text.
func head(msg []byte, keys ...note.Verifier) (int64, tlog.Hash) {
	opened, err := note.Open(msg, note.VerifierList(keys...))
	must(err)
	if len(opened.Sigs) != len(keys) {
		must(fmt.Errorf("%d of %d signatures hold", len(opened.Sigs), len(keys)))
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return size, root
}

func logKey(text string) note.Verifier {
	key, err := note.NewVerifier(text)
	must(err)
	return key
}

// split gives the value of the line that begins with word, the hashes below it, and the note.
func split(proof []byte, word string) (int64, []tlog.Hash, []byte) {
	top, msg, found := bytes.Cut(proof, []byte("\n\n"))
	if !found {
		must(fmt.Errorf("no empty line"))
	}
	var value int64 = -1
	var hashes []tlog.Hash
	for _, line := range strings.Split(string(top), "\n") {
		if rest := strings.TrimPrefix(line, word+" "); rest != line {
			number, err := strconv.ParseInt(rest, 10, 64)
			must(err)
			value = number
		} else if value >= 0 {
			hash, err := tlog.ParseHash(line)
			must(err)
			hashes = append(hashes, hash)
		}
	}
	return value, hashes, msg
}

// witness is a verifier of cosignature/v1, which sumdb/note does not know itself.
type witness struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.id }
func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(w.key, []byte(signed), sig[8:])
}

func witnessKey(text string) witness {
	parts := strings.SplitN(text, "+", 3)
	id, err := strconv.ParseUint(parts[1], 16, 32)
	must(err)
	data, err := base64.StdEncoding.DecodeString(parts[2])
	must(err)
	if len(data) != 33 || data[0] != 4 {
		must(fmt.Errorf("not a witness's key"))
	}
	return witness{parts[0], uint32(id), data[1:]}
}

func main() {
	args := os.Args[1:]
	key := logKey(args[1])
	switch args[0] {
	case "inclusion":
		index, path, msg := split(read(args[2]), "index")
		size, root := head(msg, key)
		event, err := hex.DecodeString(args[3])
		must(err)
		must(tlog.CheckRecord(path, size, root, index, tlog.RecordHash(event)))
	case "consistency":
		oldSize, oldRoot := head(read(args[2]), key)
		old, path, msg := split(read(args[3]), "old")
		size, root := head(msg, key)
		if old != oldSize {
			must(fmt.Errorf("the proof is from another size"))
		}
		must(tlog.CheckTree(path, size, root, oldSize, oldRoot))
	case "cosigned":
		head(read(args[3]), key, witnessKey(args[2]))
	default:
		must(fmt.Errorf("unknown %s", args[0]))
	}
}
