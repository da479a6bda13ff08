// Package checksum adds a checksum to the text of a JSON object, as its last member, so that damage shows
// that leaves the text valid, such as another digit of a number.
package checksum

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

const (
	before = `,"checksum":"`
	after  = `"}`
	size   = 32 // hex digits
)

// ErrDamaged is the error of a text that is not the one its checksum was made of.
var ErrDamaged = errors.New("its checksum is wrong")

// Add returns the JSON object text, which has at least one member, with its checksum. What reads it as JSON may ignore the member.
func Add(text []byte) []byte {
	body := bytes.TrimSuffix(bytes.TrimSpace(text), []byte("}"))
	out := append(bytes.Clone(body), before...)
	return append(append(out, sum(body)...), after+"\n"...)
}

// Writer passes on the text of a JSON object that is written in parts, and adds its checksum.
type Writer struct {
	to  io.Writer
	sum hash.Hash
}

// NewWriter returns a Writer to w. What is written to it is the object without its closing brace, with at least one member.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w, sum: sha256.New()} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	_, _ = w.sum.Write(p) // never fails
	return w.to.Write(p)
}

// Close writes the checksum and the closing brace. It does not close the writer below.
func (w *Writer) Close() error {
	_, err := io.WriteString(w.to, before+hex.EncodeToString(w.sum.Sum(nil)[:size/2])+after+"\n")
	return err
}

// Check returns ErrDamaged if the checksum of text is wrong. found is false for a text without one.
func Check(text []byte) (found bool, err error) {
	text = bytes.TrimSpace(text)
	at := len(text) - len(before) - size - len(after)
	if at < 0 || !bytes.HasPrefix(text[at:], []byte(before)) || !bytes.HasSuffix(text, []byte(after)) {
		return false, nil
	}
	if string(text[at+len(before):at+len(before)+size]) != sum(text[:at]) {
		return true, ErrDamaged
	}
	return true, nil
}

func sum(text []byte) string {
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:size/2])
}
