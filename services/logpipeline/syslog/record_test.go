package syslog

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDecodeRecordRefusesOtherLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "{", "null", "[]", `{"received":"x"}`, `{"transport":"udp"}`, `{"transport":"smoke","message":"a"}`} {
		_, err := DecodeRecord([]byte(line))
		require.ErrorIs(t, err, ErrRecord, line)
	}
}

// Every message is decoded to the same bytes, and its record has no newline inside.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("<34>a \"b\" \\ \x01\x1b\u2028\U0001f512"))
	f.Add([]byte("\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		in := Record{Time: time.Date(2026, 11, 23, 10, 0, 0, 123, time.UTC), Peer: "192.0.2.1:514", Transport: TCP, Message: msg}
		b := appendRecord(nil, in)
		require.Equal(t, len(b)-1, bytes.IndexByte(b, '\n'))
		out, err := DecodeRecord(b[:len(b)-1])
		require.NoError(t, err)
		require.True(t, bytes.Equal(msg, out.Message))
		out.Message, in.Message = nil, nil
		require.Equal(t, in, out)
	})
}

// A message of control characters takes at most a third more of the spool than one of
// text.
func TestRecordIsAtMostAThirdLargerThanItsMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"\x01", "\"", "x", "\xff", "\u2028"} {
		msg := bytes.Repeat([]byte(c), DefaultMaxMessage/len(c))
		b := appendRecord(nil, Record{Time: time.Now(), Peer: "192.0.2.1:514", Transport: UDP, Message: msg})
		require.Less(t, len(b), 4*DefaultMaxMessage/3+200, "%q", c)
		out, err := DecodeRecord(b[:len(b)-1])
		require.NoError(t, err)
		require.True(t, bytes.Equal(msg, out.Message))
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"udp","message":"m"}`))
	f.Add([]byte(`{"received":"2026-11-23T10:00:00Z","transport":"tcp","raw":"/w=="}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := DecodeRecord(line)
		if err != nil {
			require.ErrorIs(t, err, ErrRecord)
			return
		}
		require.Contains(t, []string{UDP, TCP}, r.Transport)
	})
}

func BenchmarkRecord(b *testing.B) {
	r := Record{Time: time.Now(), Peer: "192.0.2.1:514", Transport: TCP, Message: []byte("<34>1 2026-11-23T10:00:00Z host sshd 123 - - Failed password for root from 192.0.2.1 port 22 ssh2")}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], r)
	}
}
