package syslog

import (
	"bytes"
	"strings"
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

// A line is decoded to what encoding/json decodes it to, whether it is a record or almost one. As a message it comes back from its record,
// which has no newline inside.
func FuzzRecord(f *testing.F) {
	uid := uint32(1000)
	for _, r := range []Record{
		{Peer: "192.0.2.1:514", Transport: UDP, Message: []byte("plain")},
		{Peer: "a\"b", Transport: TLS, Name: "c\\d", Message: []byte("tab\t\x01 \u2028 quote\" \\"), Truncated: true},
		{Transport: Unix, UID: &uid, Exe: "/usr/bin/logger\xff", Message: []byte{}},
		{Peer: "x", Transport: TCP, Message: []byte("\xff\xfe\x00")},
	} {
		r.Time = time.Date(2026, 11, 23, 10, 0, 0, 120_000_000, time.UTC)
		line := appendRecord(nil, r)
		f.Add(line[:len(line)-1])
	}
	for _, line := range []string{
		"<34>a \"b\" \\ \x01\x1b\u2028\U0001f512", "\xff\xfe\x00",
		`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"udp","message":"m"}`,
		`{"received":"2026-11-23T10:00:00+01:00","peer":"a","transport":"tcp","raw":"/w=="}`,
		`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"unix","uid":007,"message":"m"}`,
		`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"udp","message":"\u0020\ud800\/"}`,
		`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"udp","raw":"/w="}`,
		`{"received":"2026-11-23T10:00:00Z","peer":"a","transport":"udp","message":"m","message":"n"}`,
		`{"received":"\u0032026-11-23T10:00:00Z","peer":"a","transport":"udp","truncated":true,"message":"` + "\xff" + `"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		want, wantErr := decodeJSON(line)
		var d Decoder
		for range 2 { // also behind a record with the same head
			got, err := d.Decode(line)
			require.Equal(t, wantErr, err)
			require.Equal(t, want, got)
		}
		if wantErr == nil {
			require.Contains(t, Transports(), want.Transport)
		}
		in := Record{Time: time.Date(2026, 11, 23, 10, 0, 0, 123, time.UTC), Peer: "192.0.2.1:514", Transport: TCP, Message: line}
		b := appendRecord(nil, in)
		require.Equal(t, len(b)-1, bytes.IndexByte(b, '\n'))
		out, err := d.Decode(b[:len(b)-1])
		require.NoError(t, err)
		require.True(t, bytes.Equal(line, out.Message))
		out.Message, in.Message = nil, nil
		require.Equal(t, in, out)
	})
}

// Every record that is written is decoded without encoding/json, also behind another one.
func TestDecoderKnowsWhatIsWritten(t *testing.T) {
	t.Parallel()
	uid := uint32(7)
	var d Decoder
	for c := range 256 {
		text := "a" + string([]byte{byte(c)}) + "\"b"
		in := Record{Time: time.Unix(int64(c/2), 5).UTC(), Peer: "192.0.2.1:514", Transport: Unix, UID: &uid, Exe: strings.ToValidUTF8(text[:2], "?"), Message: []byte(text), Truncated: c%2 == 0}
		line := appendRecord(nil, in)
		s := recordScanner{rest: line}
		_, ok := s.head()
		require.True(t, ok, "%q", text)
		_, _ = s.message()
		require.False(t, s.failed, "%q", text)
		out, err := d.Decode(line[:len(line)-1])
		require.NoError(t, err)
		require.Equal(t, in, out)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := Record{Time: time.Now(), Peer: "192.0.2.1:514", Transport: TCP, Message: []byte("<34>1 2026-11-23T10:00:00Z host sshd 123 - - Failed password for root from 192.0.2.1 port 22 ssh2")}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], r)
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	line := appendRecord(nil, Record{Time: time.Now(), Peer: "192.0.2.1:514", Transport: TCP, Message: []byte("<34>1 2026-11-23T10:00:00Z host sshd 123 - - Failed password for root from 192.0.2.1 port 22 ssh2")})
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	var d Decoder
	for b.Loop() {
		if _, err := d.Decode(line[:len(line)-1]); err != nil {
			b.Fatal(err)
		}
	}
}
